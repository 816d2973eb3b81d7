"""HTML pages with a picture, which show details under the pointer and load nothing."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Sequence
from string import Template

from service.cli.plotting.hover import HoverTarget

# Characters that could end the element with the data, as escapes of JSON.
_ESCAPES = str.maketrans({character: f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"})

# The policy refuses content from other hosts, whatever the texts contain.
_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
body { margin: 0; background: #fff; font: 14px system-ui, sans-serif; }
#picture { position: relative; max-width: 1500px; margin: 0 auto; }
#picture img { display: block; width: 100%; }
#details { position: fixed; display: none; max-width: 24rem; padding: .4rem .6rem;
 background: #222; color: #fff; border-radius: 4px; white-space: pre-line;
 overflow-wrap: anywhere; pointer-events: none; }
</style>
</head>
<body>
<div id="picture"><img alt="$title" src="data:image/svg+xml;base64,$picture"></div>
<div id="details" role="status"></div>
<script id="targets" type="application/json">$targets</script>
<script>
"use strict";
const targets = JSON.parse(document.getElementById("targets").textContent);
const picture = document.getElementById("picture");
const details = document.getElementById("details");
const reach = 12;  // pixels
function find(event) {
  const frame = picture.getBoundingClientRect();
  const x = event.clientX - frame.left, y = event.clientY - frame.top;
  let nearest = null, best = reach;
  for (const target of targets) {
    const left = target[0] * frame.width, top = target[1] * frame.height;
    const right = left + target[2] * frame.width, bottom = top + target[3] * frame.height;
    const dx = Math.max(left - x, 0, x - right), dy = Math.max(top - y, 0, y - bottom);
    const distance = Math.hypot(dx, dy);
    if (distance < best) { best = distance; nearest = target; }
  }
  return nearest;
}
function show(event) {
  const target = find(event);
  details.style.display = target ? "block" : "none";
  if (!target) { return; }
  details.textContent = target[4];
  const left = Math.min(event.clientX + 14, innerWidth - details.offsetWidth - 8);
  const top = Math.min(event.clientY + 14, innerHeight - details.offsetHeight - 8);
  details.style.left = Math.max(left, 0) + "px";
  details.style.top = Math.max(top, 0) + "px";
}
picture.addEventListener("pointermove", show);
picture.addEventListener("pointerdown", show);
picture.addEventListener("pointerleave", () => { details.style.display = "none"; });
</script>
</body>
</html>
""")


def build_page(title: str, picture: bytes, targets: Sequence[HoverTarget]) -> str:
    """Return a page with a picture.

    Args:
        title: plain text.
        picture: an SVG image.
        targets: the parts of the picture with details, in plain text.
    """
    data = json.dumps(targets, ensure_ascii=False, separators=(",", ":")).translate(_ESCAPES)
    return _PAGE.substitute(
        title=html.escape(title), picture=base64.b64encode(picture).decode(), targets=data
    )
