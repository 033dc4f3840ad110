"""stub"""
import click
from gateway.cli import examples
@click.command(epilog=examples("gateway check"))
def check() -> None:
    """Check the settings and show where each value comes from."""
@click.command(epilog=examples("gateway init"))
def init() -> None:
    """Write a commented gateway.toml and make the state folder."""
