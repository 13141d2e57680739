"""`python -m scaling.cli`, for where the `scaling` script is not on the path."""

from scaling.cli import main

main()
