"""The one thing here that nobody can read: the minified files of Swagger UI are the published ones, byte for byte."""

from __future__ import annotations

from hashlib import sha256

from tests.house.tree import ROOT

STATIC = ROOT / "tenants_api" / "api" / "static"
OURS = frozenset({"start.js"})
# Of swagger-ui-dist 5.35.0. The style sheet's last line, which names a source map that is not shipped, is left out.
PUBLISHED = {
    "LICENSE": "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30",
    "NOTICE": "0d20d1adef18aee3f40dd258172155521ce702ac445cb5f7b7d60ed32dad2fb2",
    "favicon-32x32.png": "3ed612f41e050ca5e7000cad6f1cbe7e7da39f65fca99c02e99e6591056e5837",
    "oauth2-redirect.html": "f3546c5b74b44eac7de5b4193a641b4f23365470c109b490c566bac0de446745",
    "oauth2-redirect.js": "a5c8a34e09e49737382cc5019446eec7c3db3461963fc5bfe448361d3c5549e9",
    "swagger-ui-bundle.js": "e6a898692f2d768e807c3ba4626068a69a2c5dd960dd6c76f3e4d3a3de180af2",
    "swagger-ui-bundle.js.LICENSE.txt": "37eb6e7e59aed57b2c1acf076574b818ea07b74265717e0bd67b59e0baf9abbb",
    "swagger-ui.css": "5ed08757e53da3e026d6cbecc61fe5d43585c9560b302d534ad56692519a273d",
}
SOURCE_MAP = b"/*# sourceMappingURL=swagger-ui.css.map*/"


def test_vendored_files_are_the_published_ones() -> None:
    found = {path.name: path.read_bytes() for path in STATIC.iterdir() if path.name not in OURS}
    found["swagger-ui.css"] += SOURCE_MAP
    assert {name: sha256(content).hexdigest() for name, content in found.items()} == PUBLISHED
