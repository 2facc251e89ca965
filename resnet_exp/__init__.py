"""A command-line runner for the degradation study: plain and residual nets of growing depth."""

__version__ = "0.1.0"
