"""Classes of maps that encode with methods of their own.

Before there were codecs (`zlmdb.orm.keys`, `zlmdb.orm.values`), an application got a kind of maps of its own
by overriding ``_serialize_key``, ``_deserialize_key``, ``_serialize_value`` or ``_deserialize_value``. Its
databases can only be read by these methods, so a class that has some is served by them.
"""

from __future__ import annotations

from typing import Any

from zlmdb.orm.keys import Key
from zlmdb.orm.parts import Fault, Part
from zlmdb.orm.values import Value


class LegacyCodecs:
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

    def _with_overrides(
        self, keys: Key[Any] | None, values: Value[Any] | None
    ) -> tuple[Key[Any] | None, Value[Any] | None]:
        """Return the codecs that are to be used in place of those given, which may be these."""
        if keys is not None:
            self._key_codec_below = keys
        if values is not None:
            self._value_codec_below = values
        cls = type(self)
        if _overrides(cls, "_serialize_key", "_deserialize_key"):
            keys = Key(_LegacyKey(self))
        if _overrides(cls, "_serialize_value", "_deserialize_value"):
            values = _LegacyValue(self)
        return keys, values


def _overrides(cls: type[LegacyCodecs], *names: str) -> bool:
    return any(getattr(cls, name) is not getattr(LegacyCodecs, name) for name in names)


class _LegacyKey(Part[Any]):
    name = "Hooked"
    type_name = "Any"
    layout = "as the class of the map says"
    size = None

    def __init__(self, methods: LegacyCodecs) -> None:
        self._methods = methods

    def encode(self, value: Any) -> bytes:
        return self._methods._serialize_key(value)

    def decode(self, data: bytes) -> Any:
        return self._methods._deserialize_key(data)

    def fault(self, data: bytes) -> Fault | None:
        """Return the method of the class, if it overrides that."""
        if _overrides(type(self._methods), "_deserialize_key"):
            return Fault("_deserialize_key", self._methods._deserialize_key, data)
        return None


class _LegacyValue(Value[Any]):
    name = "Hooked"
    layout = "as the class of the map says"

    def __init__(self, methods: LegacyCodecs) -> None:
        self.dump = methods._serialize_value
        self.load = methods._deserialize_value
        self._methods = methods

    def fault(self, data: bytes, error: Exception) -> Fault | None:
        """Return what is to be blamed: the class, unless it overrides other methods only."""
        if _overrides(type(self._methods), "_deserialize_value"):
            return super().fault(data, error)
        return self._methods._value_codec_below.fault(data, error)
