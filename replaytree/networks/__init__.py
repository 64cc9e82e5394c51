"""Networks: from layers to nn.Modules."""
