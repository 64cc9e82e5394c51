"""Data sets in memory: images as uint8 tensors, texts as numbers of words. Only train and validation, never test."""

from replaytree.data.array_form import as_bytes, channels_last
from replaytree.data.arrays import as_data, from_arrays
from replaytree.data.augment import augment, cutout, normalise
from replaytree.data.balance import balance_notes, mirroring_notes
from replaytree.data.channels import match_channels
from replaytree.data.decode import read_images
from replaytree.data.hub import is_hub
from replaytree.data.images import Fingerprint, ImageData
from replaytree.data.load import Data, load_again, load_data, load_source
from replaytree.data.load_text import load_text, read_part
from replaytree.data.split import stratified_split, stratified_subset
from replaytree.data.text import END, UNKNOWN, TextData, TextFingerprint
from replaytree.data.transforms import with_transforms
from replaytree.sources.named import NAMED, NamedDataSet, data_folder, found
from replaytree.sources.named_texts import TEXTS, NamedText, texts_found
from replaytree.sources.place import KNOWN, find_source, stored_path
from replaytree.sources.task import task_of

__all__ = [
    "END",
    "KNOWN",
    "NAMED",
    "TEXTS",
    "UNKNOWN",
    "Data",
    "Fingerprint",
    "ImageData",
    "NamedDataSet",
    "NamedText",
    "TextData",
    "TextFingerprint",
    "as_bytes",
    "as_data",
    "augment",
    "balance_notes",
    "channels_last",
    "cutout",
    "data_folder",
    "find_source",
    "found",
    "from_arrays",
    "is_hub",
    "load_again",
    "load_data",
    "load_source",
    "load_text",
    "match_channels",
    "mirroring_notes",
    "normalise",
    "read_images",
    "read_part",
    "stored_path",
    "stratified_split",
    "stratified_subset",
    "task_of",
    "texts_found",
    "with_transforms",
]
