"""`python -m alpa_mlir.plan`: the same as `alpa-plan`."""

from alpa_mlir.cli.plan.main import main

if __name__ == "__main__":
    main()
