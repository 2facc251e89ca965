"""`python -m resnet_exp` is `resnet-exp`."""

from resnet_exp.main import main

if __name__ == "__main__":
    main()
