"""Numba kernels that cut convex polygons by the kinks of a network. Used by `slices` only.

Axis glossary: ``region`` convex polygons, ``vertex`` their corners (flat, with ``offsets[region + 1]``), ``corner`` the
three points (0,0), (1,0), (0,1) at which an affine function is stored, ``unit``, ``line``, ``candidate`` of a max-pool
window. Coordinates are those of the window scaled to [-1, 1].

A cut is made where a polygon has corners farther than `epsilon` on both sides; anything thinner is rounding.
"""

from __future__ import annotations

import numpy as np

from eval.measures.compiled import compiled


@compiled()
def crossing_lines(vertices, offsets, values, thresholds, epsilon):  # noqa: ANN001, ANN201 (numba types)
    """Kinks that pass through each region: ``lines[line, (constant, du, dv)]`` of unit gradient, ``unit``, ``starts``.

    values ``[region corner unit]``: the affine pre-activation at the three corners.
    """
    n_regions, n_units = values.shape[0], values.shape[2]
    starts = np.zeros(n_regions + 1, np.int64)
    lines = np.empty((1024, 3), np.float64)
    units = np.empty(1024, np.int64)
    n = 0
    for r in range(n_regions):
        for u in range(n_units):
            du = values[r, 1, u] - values[r, 0, u]
            dv = values[r, 2, u] - values[r, 0, u]
            size = np.sqrt(du * du + dv * dv)
            if size == 0:
                continue
            low, high = np.inf, -np.inf
            for k in range(offsets[r], offsets[r + 1]):
                s = values[r, 0, u] + du * vertices[k, 0] + dv * vertices[k, 1]
                low, high = min(low, s), max(high, s)
            for threshold in thresholds:
                if low - threshold < -epsilon * size and high - threshold > epsilon * size:
                    if n == len(lines):
                        lines = _grown(lines)
                        units = np.concatenate((units, np.empty(len(units), np.int64)))
                    lines[n, 0] = (values[r, 0, u] - threshold) / size
                    lines[n, 1], lines[n, 2] = du / size, dv / size
                    units[n] = u
                    n += 1
        starts[r + 1] = n
    return lines[:n], units[:n], starts


@compiled()
def _grown(array):  # noqa: ANN001, ANN202
    out = np.empty((2 * array.shape[0], array.shape[1]), np.float64)
    out[: array.shape[0]] = array
    return out


@compiled()
def _extent(polygon, line):  # noqa: ANN001, ANN202
    low, high = np.inf, -np.inf
    for k in range(polygon.shape[0]):
        s = line[0] + line[1] * polygon[k, 0] + line[2] * polygon[k, 1]
        low, high = min(low, s), max(high, s)
    return low, high


@compiled()
def _half(polygon, line, sign, epsilon):  # noqa: ANN001, ANN202
    """The part of a polygon where ``sign * s >= 0``; corners within epsilon of the line belong to it."""
    n = polygon.shape[0]
    out = np.empty((n + 2, 2), np.float64)
    m = 0
    for k in range(n):
        j = k + 1 if k + 1 < n else 0
        s = sign * (line[0] + line[1] * polygon[k, 0] + line[2] * polygon[k, 1])
        t = sign * (line[0] + line[1] * polygon[j, 0] + line[2] * polygon[j, 1])
        if s >= -epsilon:
            out[m] = polygon[k]
            m += 1
        if (s > epsilon and t < -epsilon) or (s < -epsilon and t > epsilon):
            w = s / (s - t)
            out[m, 0] = polygon[k, 0] + w * (polygon[j, 0] - polygon[k, 0])
            out[m, 1] = polygon[k, 1] + w * (polygon[j, 1] - polygon[k, 1])
            m += 1
    return out[:m].copy()


@compiled()
def _chord(polygon, line, epsilon):  # noqa: ANN001, ANN202
    """The segment along which a line crosses a polygon, ``[4]``."""
    out = np.zeros(4, np.float64)
    found = 0
    n = polygon.shape[0]
    for k in range(n):
        j = k + 1 if k + 1 < n else 0
        s = line[0] + line[1] * polygon[k, 0] + line[2] * polygon[k, 1]
        t = line[0] + line[1] * polygon[j, 0] + line[2] * polygon[j, 1]
        w = -1.0
        if abs(s) <= epsilon:
            w = 0.0
        elif (s > epsilon and t < -epsilon) or (s < -epsilon and t > epsilon):
            w = s / (s - t)
        if w >= 0 and found < 2:
            out[2 * found] = polygon[k, 0] + w * (polygon[j, 0] - polygon[k, 0])
            out[2 * found + 1] = polygon[k, 1] + w * (polygon[j, 1] - polygon[k, 1])
            found += 1
    return out


@compiled()
def _flat(polygons):  # noqa: ANN001, ANN202
    offsets = np.zeros(len(polygons) + 1, np.int64)
    for i in range(len(polygons)):
        offsets[i + 1] = offsets[i] + polygons[i].shape[0]
    vertices = np.empty((offsets[-1], 2), np.float64)
    for i in range(len(polygons)):
        vertices[offsets[i] : offsets[i + 1]] = polygons[i]
    return vertices, offsets


@compiled()
def _area(polygon):  # noqa: ANN001, ANN202
    total = 0.0
    for k in range(polygon.shape[0]):
        j = k + 1 if k + 1 < polygon.shape[0] else 0
        total += polygon[k, 0] * polygon[j, 1] - polygon[k, 1] * polygon[j, 0]
    return abs(total) / 2


@compiled()
def _parts(done, parent, chords):  # noqa: ANN001, ANN202
    """Lists as arrays: vertices, offsets, ``parent[region]``, ``chords[cut 4]``."""
    flat, offsets = _flat(done)
    owners = np.empty(len(parent), np.int64)
    for i in range(len(parent)):
        owners[i] = parent[i]
    segments = np.empty((len(chords), 4), np.float64)
    for i in range(len(chords)):
        segments[i] = chords[i]
    return flat, offsets, owners, segments


@compiled()
def split_by_lines(vertices, offsets, lines, starts, epsilon, most, smallest):  # noqa: ANN001, ANN201
    """Cut every region by its lines: new vertices, offsets, ``parent[region]``, ``chords[cut 4]``, how many were left
    out (parts of less than `smallest` area), and whether all this stopped because there are more than `most` parts."""
    done = [np.empty((0, 2), np.float64)]
    done.pop()
    parent = [np.int64(0)]
    parent.pop()
    chords = [np.empty(4, np.float64)]
    chords.pop()
    left_out = 0
    for r in range(len(offsets) - 1):
        work = [vertices[offsets[r] : offsets[r + 1]].copy()]
        for i in range(starts[r], starts[r + 1]):
            following = [work[0]]
            following.pop()
            for polygon in work:
                low, high = _extent(polygon, lines[i])
                if not (low < -epsilon and high > epsilon):
                    following.append(polygon)
                    continue
                chords.append(_chord(polygon, lines[i], epsilon))
                for sign in (-1.0, 1.0):
                    part = _half(polygon, lines[i], sign, epsilon)
                    if smallest == 0 or _area(part) >= smallest:
                        following.append(part)
                    else:
                        left_out += 1
            work = following
            if len(done) + len(work) > most or len(work) == 0:
                break
        for polygon in work:
            done.append(polygon)
            parent.append(np.int64(r))
        if len(done) > most:
            return *_parts(done, parent, chords), left_out, True
    return *_parts(done, parent, chords), left_out, False


@compiled()
def _settled(polygon, values, epsilon):  # noqa: ANN001, ANN202
    """Whether one candidate of a window is highest in the whole polygon (up to rounding)."""
    n, k = polygon.shape[0], values.shape[1]
    for a in range(k):
        if values[0, a] == -np.inf:
            continue
        best = True
        for v in range(n):
            x, y = polygon[v, 0], polygon[v, 1]
            own = values[0, a] + (values[1, a] - values[0, a]) * x + (values[2, a] - values[0, a]) * y
            for b in range(k):
                if b != a and values[0, b] != -np.inf:
                    other = values[0, b] + (values[1, b] - values[0, b]) * x + (values[2, b] - values[0, b]) * y
                    if other - own > epsilon:
                        best = False
                        break
            if not best:
                break
        if best:
            return True
    return False


@compiled()
def _cells(polygon, values, epsilon):  # noqa: ANN001, ANN202
    """The parts of a polygon in which each candidate is highest, and the chords between them."""
    out = [polygon]
    out.pop()
    chords = [np.empty(4, np.float64)]
    chords.pop()
    k = values.shape[1]
    for a in range(k):
        if values[0, a] == -np.inf:
            continue
        cell = polygon
        empty = False
        for b in range(k):
            if b == a or values[0, b] == -np.inf:
                continue
            line = np.empty(3, np.float64)
            line[0] = values[0, a] - values[0, b]
            line[1] = values[1, a] - values[1, b] - line[0]
            line[2] = values[2, a] - values[2, b] - line[0]
            size = np.sqrt(line[1] ** 2 + line[2] ** 2)
            if size == 0:
                empty = line[0] < 0 or (line[0] == 0 and b < a)  # of equal candidates the first one counts
            else:
                line /= size
                low, high = _extent(cell, line)
                if high <= epsilon:
                    empty = True
                elif low < -epsilon:
                    if a < b:
                        chords.append(_chord(cell, line, epsilon))
                    cell = _half(cell, line, 1.0, epsilon)
            if empty or cell.shape[0] < 3:
                empty = True
                break
        if not empty:
            out.append(cell)
    return out, chords


@compiled()
def split_by_maxima(vertices, offsets, values, epsilon, most, smallest):  # noqa: ANN001, ANN201
    """Cut every region where the winner of a max-pool window changes; `values` ``[region corner window candidate]``.

    Returns what `split_by_lines` returns.
    """
    done = [np.empty((0, 2), np.float64)]
    done.pop()
    parent = [np.int64(0)]
    parent.pop()
    chords = [np.empty(4, np.float64)]
    chords.pop()
    left_out = 0
    for r in range(len(offsets) - 1):
        work = [vertices[offsets[r] : offsets[r + 1]].copy()]
        for w in range(values.shape[2]):
            following = [work[0]]
            following.pop()
            for polygon in work:
                if _settled(polygon, values[r, :, w], epsilon):
                    following.append(polygon)
                    continue
                cells, cuts = _cells(polygon, values[r, :, w], epsilon)
                for cell in cells:
                    if smallest == 0 or _area(cell) >= smallest:
                        following.append(cell)
                    else:
                        left_out += 1
                for cut in cuts:
                    chords.append(cut)
            work = following
            if len(done) + len(work) > most or len(work) == 0:
                break
        for polygon in work:
            done.append(polygon)
            parent.append(np.int64(r))
        if len(done) > most:
            return *_parts(done, parent, chords), left_out, True
    return *_parts(done, parent, chords), left_out, False


@compiled()
def areas_and_centroids(vertices, offsets):  # noqa: ANN001, ANN201
    """Area and centre of mass of each polygon (the mean corner where the area vanishes)."""
    n = len(offsets) - 1
    areas, centres = np.zeros(n), np.zeros((n, 2))
    for r in range(n):
        start, end = offsets[r], offsets[r + 1]
        middle = np.zeros(2)
        for k in range(start, end):
            middle += vertices[k] / (end - start)
        total, sum_u, sum_v = 0.0, 0.0, 0.0
        for k in range(start, end):
            j = k + 1 if k + 1 < end else start
            a, b = vertices[k] - middle, vertices[j] - middle
            cross = a[0] * b[1] - a[1] * b[0]
            total += cross
            sum_u += cross * (a[0] + b[0])
            sum_v += cross * (a[1] + b[1])
        areas[r] = abs(total) / 2
        centres[r] = middle
        if total != 0:
            centres[r, 0] += sum_u / (3 * total)
            centres[r, 1] += sum_v / (3 * total)
    return areas, centres
