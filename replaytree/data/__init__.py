"""Image data sets as uint8 tensors in memory: named ones and folders. Only train and validation images, never test."""

from replaytree.data.arrays import as_image_data, channels_last, from_arrays
from replaytree.data.augment import augment, cutout, normalise
from replaytree.data.balance import balance_notes
from replaytree.data.channels import match_channels
from replaytree.data.decode import read_images
from replaytree.data.images import Fingerprint, ImageData
from replaytree.data.load import load_again, load_data
from replaytree.data.named import NAMED, NamedDataSet, data_folder, found
from replaytree.data.place import find_folder, stored_path
from replaytree.data.split import stratified_split, stratified_subset

__all__ = [
    "NAMED",
    "Fingerprint",
    "ImageData",
    "NamedDataSet",
    "as_image_data",
    "augment",
    "balance_notes",
    "channels_last",
    "cutout",
    "data_folder",
    "find_folder",
    "found",
    "from_arrays",
    "load_again",
    "load_data",
    "match_channels",
    "normalise",
    "read_images",
    "stored_path",
    "stratified_split",
    "stratified_subset",
]
