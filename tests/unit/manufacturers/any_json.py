"""JSON of any shape, as a vendor gone wrong may answer it."""

from __future__ import annotations

from hypothesis import strategies as st

TEXTS = st.text(alphabet="aZ09 -*#/.:\x00\né٠💡\ud800", max_size=10)
"""With what hurts: control characters, digits of other scripts, half a character."""

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
