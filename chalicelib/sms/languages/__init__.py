"""The languages in which SMS are written, by their ISO 639-1 codes."""

from collections.abc import Mapping

from chalicelib.sms.language import Language
from chalicelib.sms.languages.english import ENGLISH
from chalicelib.sms.languages.french import FRENCH
from chalicelib.sms.languages.portuguese import PORTUGUESE
from chalicelib.sms.languages.swahili import SWAHILI

LANGUAGES: Mapping[str, Language] = {
    language.code: language for language in (ENGLISH, SWAHILI, FRENCH, PORTUGUESE)
}


def language_of(code: str) -> Language:
    """The language of that code (``sw``, also ``sw-KE``); English where we do not speak it."""
    return LANGUAGES.get(code.lower().replace("_", "-").partition("-")[0], ENGLISH)
