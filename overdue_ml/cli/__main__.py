"""`python -m overdue_ml.cli`."""

from overdue_ml.cli import main

if __name__ == "__main__":
    main()
