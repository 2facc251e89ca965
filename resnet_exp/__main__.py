"""`python -m resnet_exp`: the command `resnet-exp`."""

from resnet_exp.cli.start import main

if __name__ == "__main__":
    main()
