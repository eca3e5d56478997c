#!/usr/bin/env python3
"""Selects the corpus to commit: of all inputs, the few small ones with the most coverage.

    pick.py BINARY FROM... INTO

libFuzzer's merge lists the edges and features of each input. The script selects the input that adds the most edges,
repeatedly, then the one that adds the most features. A file in INTO whose name is no hash was added by hand, and
stays.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile

MOST, LARGEST = 60, 1024


def reached(binary, folder):
    """The edges and features of each input."""
    with tempfile.TemporaryDirectory() as out:
        control = os.path.join(out, "control")
        os.mkdir(os.path.join(out, "merged"))
        subprocess.run(
            [binary, "-merge=1", f"-merge_control_file={control}", os.path.join(out, "merged"), folder],
            check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        lines = open(control).read().splitlines()
    files = lines[2 : 2 + int(lines[0])]
    found = {name: (set(), set()) for name in files}
    for line in lines[2 + len(files) :]:
        word, *numbers = line.split()
        # COV lists only new edges. A feature is an edge and its count in eight steps.
        if word == "FT":
            name, *features = map(int, numbers)
            edges, exactly = found[files[name]]
            edges.update(feature >> 3 for feature in features)
            exactly.update(features)
    return found


def main(binary, *folders):
    into = folders[-1]
    with tempfile.TemporaryDirectory() as all_of_them:
        for folder in folders:
            for name in sorted(os.listdir(folder)):
                data = open(os.path.join(folder, name), "rb").read()
                if len(data) <= LARGEST:
                    by_hand = folder == into and not re.fullmatch(r"[0-9a-f]{12}", name)
                    name = name if by_hand else hashlib.sha1(data).hexdigest()[:12]
                    open(os.path.join(all_of_them, name), "wb").write(data)
        found = {os.path.basename(name): of for name, of in reached(binary, all_of_them).items()}
        size = {name: os.path.getsize(os.path.join(all_of_them, name)) for name in found}
        picked = [name for name in found if not re.fullmatch(r"[0-9a-f]{12}", name)]
        for kind in (0, 1):
            known = set().union(*(found[name][kind] for name in picked))
            while len(picked) < MOST:
                best = max(sorted(found), key=lambda name: (len(found[name][kind] - known), -size[name]))
                if not found[best][kind] - known:
                    break
                picked.append(best)
                known |= found[best][kind]
        for name in os.listdir(into):
            os.remove(os.path.join(into, name))
        for name in picked:
            shutil.copyfile(os.path.join(all_of_them, name), os.path.join(into, name))
    edges = [len(set().union(*(found[name][0] for name in names))) for names in (picked, found)]
    print(f"{into}: {len(picked)} inputs of {len(found)}, {edges[0]} edges of {edges[1]}")


main(*sys.argv[1:])
