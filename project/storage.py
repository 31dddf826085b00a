"""Static files that were collected, hashed and compressed."""

from __future__ import annotations

import logging

from whitenoise.storage import (  # type: ignore[import-untyped]  # it has no types
    CompressedManifestStaticFilesStorage,
)

logger = logging.getLogger(__name__)


class CollectedStaticFilesStorage(CompressedManifestStaticFilesStorage):  # type: ignore[misc]  # so that this has none
    def stored_name(self, name: str) -> str:
        """Return the file's collected name, or its own when it was not collected.

        A page without style beats no page at all, which is what Django would make of it; the pages
        that tell of errors included.
        """
        try:
            return str(super().stored_name(name))
        except ValueError as error:
            logger.error("%s: has `manage.py collectstatic` been run?", error)  # noqa: TRY400  # no traceback for each file of each page
            return name
