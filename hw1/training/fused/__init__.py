"""Any network by autograd, each by itself; what stands between convolutions is fused."""
