"""All tables as the programs see them, which the versions must add up to."""

import importlib
import pkgutil

from sqlalchemy import MetaData
from sqlmodel import SQLModel

import services


def metadata() -> MetaData:
    """The tables of every module of `services` that is called `tables`."""
    for module in pkgutil.walk_packages(services.__path__, f"{services.__name__}."):
        if module.name.endswith(".tables"):
            importlib.import_module(module.name)
    return SQLModel.metadata
