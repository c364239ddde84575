"""What stands in for conda, pixi, containers and other machines where they cannot be had: see README.md."""
