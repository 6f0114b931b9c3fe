"""Sidecars as other programs write them, in our own words; and what exiftool and exiv2 read in a sidecar."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

LIGHTROOM = """\
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="Adobe XMP Core 7.0-c000 1.000000, 0000/00/00-00:00:00        ">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:xmp="http://ns.adobe.com/xap/1.0/"
    xmlns:tiff="http://ns.adobe.com/tiff/1.0/"
    xmlns:dc="http://purl.org/dc/elements/1.1/"
    xmlns:crs="http://ns.adobe.com/camera-raw-settings/1.0/"
   xmp:ModifyDate="2026-05-01T12:00:00"
   tiff:Orientation="1"
   crs:Version="15.4"
   crs:Exposure2012="+0.35"
   crs:HasSettings="False">
   <dc:subject>
    <rdf:Bag>
     <rdf:li>bride &amp; groom</rdf:li>
     <rdf:li>Zürich</rdf:li>
    </rdf:Bag>
   </dc:subject>
   <dc:description>
    <rdf:Alt>
     <rdf:li xml:lang="x-default">the &lt;first&gt; dance</rdf:li>
    </rdf:Alt>
   </dc:description>
   <crs:ToneCurvePV2012>
    <rdf:Seq>
     <rdf:li>0, 0</rdf:li>
     <rdf:li>255, 255</rdf:li>
    </rdf:Seq>
   </crs:ToneCurvePV2012>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
"""

DARKTABLE = """\
<?xml version="1.0" encoding="UTF-8"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="XMP Core 4.4.0-Exiv2">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:exif="http://ns.adobe.com/exif/1.0/"
    xmlns:xmp="http://ns.adobe.com/xap/1.0/"
    xmlns:xmpMM="http://ns.adobe.com/xap/1.0/mm/"
    xmlns:darktable="http://darktable.sf.net/"
   exif:DateTimeOriginal="2026:05:01 12:00:00.000"
   xmp:Rating="0"
   xmpMM:DerivedFrom="IMG.CR3"
   darktable:xmp_version="5"
   darktable:raw_params="0"
   darktable:auto_presets_applied="1"
   darktable:history_end="2">
   <darktable:masks_history>
    <rdf:Seq/>
   </darktable:masks_history>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
"""

# Every property an element, in two resources, in a wrapper, by a writer with its own prefixes.
ELEMENTS = """\
<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<!-- written by hand -->
<meta:xmpmeta xmlns:meta='adobe:ns:meta/'>
<rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>
 <rdf:Description rdf:about='' xmlns:xap='http://ns.adobe.com/xap/1.0/'>
  <xap:Rating>0</xap:Rating>
  <xap:Label/>
  <xap:CreatorTool>a 'quoted' &quot;tool&quot;</xap:CreatorTool>
 </rdf:Description>
 <rdf:Description rdf:about='' xmlns:mine='urn:mine' mine:xmp='x'><!-- kept --><mine:data rdf:parseType='Resource'>
   <mine:Rating>5</mine:Rating></mine:data></rdf:Description>
</rdf:RDF>
</meta:xmpmeta>
<?xpacket end='w'?>
"""

ALL = {"lightroom": LIGHTROOM, "darktable": DARKTABLE, "elements": ELEMENTS}


def exiftool(path: Path) -> dict[str, object]:
    """Return what exiftool reads in a file, group:name -> value; skip the test where it is not installed."""
    if shutil.which("exiftool") is None:
        pytest.skip("needs exiftool")
    command = ["exiftool", "-json", "-G1", "-struct", "-XMP:all", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=25, check=True)
    (found,) = json.loads(done.stdout)
    return {name: value for name, value in found.items() if ":" in name}


def exiv2(path: Path) -> dict[str, list[str]]:
    """Return what exiv2 reads in a file, key -> values; skip the test where it is not installed."""
    if shutil.which("exiv2") is None:
        pytest.skip("needs exiv2")
    done = subprocess.run(["exiv2", "-PXkv", str(path)], capture_output=True, text=True, timeout=25, check=True)
    found: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        key, _, value = line.partition(" ")
        found.setdefault(key, []).append(value.strip())
    return found
