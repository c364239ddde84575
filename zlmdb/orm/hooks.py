"""Classes of maps that encode with methods of their own.

Before there were codecs (`zlmdb.orm.keys`, `zlmdb.orm.values`), an application got a kind of maps of its own
by overriding ``_serialize_key``, ``_deserialize_key``, ``_serialize_value`` or ``_deserialize_value``. Its
databases can only be read by these methods, so a class that has some is served by them.
"""

from __future__ import annotations

from typing import Any

from zlmdb.orm.keys import Key
from zlmdb.orm.parts import Part
from zlmdb.orm.values import Fault, Value


class Hooks:
    """The methods, which call the codecs of the map unless its class overrides them."""

    _key_codec_below: Key[Any]
    _value_codec_below: Value[Any]

    def _serialize_key(self, key: Any) -> bytes:
        return self._key_codec_below.encode(key)

    def _deserialize_key(self, data: bytes) -> Any:
        return self._key_codec_below.decode(data)

    def _serialize_value(self, value: Any) -> bytes:
        return self._value_codec_below.dump(value)

    def _deserialize_value(self, data: Any) -> Any:
        return self._value_codec_below.load(data)

    def _hooked(
        self, keys: Key[Any] | None, values: Value[Any] | None
    ) -> tuple[Key[Any] | None, Value[Any] | None]:
        """Return the codecs that are to be used in place of those given, which may be these."""
        if keys is not None:
            self._key_codec_below = keys
        if values is not None:
            self._value_codec_below = values
        cls = type(self)
        if _overrides(cls, "_serialize_key", "_deserialize_key"):
            keys = Key(_HookedKey(self))
        if _overrides(cls, "_serialize_value", "_deserialize_value"):
            values = _HookedValue(self)
        return keys, values


def _overrides(cls: type[Hooks], *names: str) -> bool:
    return any(getattr(cls, name) is not getattr(Hooks, name) for name in names)


class _HookedKey(Part[Any]):
    name = "Hooked"
    type_name = "Any"
    layout = "as the class of the map says"
    size = None

    def __init__(self, hooks: Hooks) -> None:
        self._hooks = hooks

    def encode(self, value: Any) -> bytes:
        return self._hooks._serialize_key(value)

    def decode(self, data: bytes) -> Any:
        return self._hooks._deserialize_key(data)


class _HookedValue(Value[Any]):
    name = "Hooked"
    layout = "as the class of the map says"

    def __init__(self, hooks: Hooks) -> None:
        self.dump = hooks._serialize_value
        self.load = hooks._deserialize_value
        self._hooks = hooks

    def fault(self, data: bytes, error: Exception) -> Fault | None:
        """Return what is to be blamed: the class, unless it overrides other methods only."""
        if _overrides(type(self._hooks), "_deserialize_value"):
            return super().fault(data, error)
        return self._hooks._value_codec_below.fault(data, error)
