"""Any network by autograd, each by itself; everything between convolutions is fused."""
