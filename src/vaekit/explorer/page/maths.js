// The little mathematics of the page: arrays out of the description, places, paths and distances.

/** Float32Array of what the description holds in base64. */
export function floats(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  return new Float32Array(bytes.buffer);
}

/** The latent point of a place on a linear map: mean + a·axes[0] + b·axes[1]. */
export function latentAt(map, a, b) {
  return Float32Array.from(map.mean, (mean, i) => mean + a * map.axes[0][i] + b * map.axes[1][i]);
}

/** The place of a latent point on a linear map; the axes are orthonormal. */
export function placeOf(map, z) {
  return map.axes.map((axis) => axis.reduce((sum, value, i) => sum + value * (z[i] - map.mean[i]), 0));
}

/** The rows nearest to a point of d numbers, nearest first, without those to `skip`. */
export function nearestRows(rows, point, many = 1, skip = null) {
  const d = point.length;
  const found = [];
  for (let row = 0, start = 0; start < rows.length; row++, start += d) {
    if (skip?.(row)) continue;
    const limit = found.length < many ? Infinity : found[many - 1].distance;
    let distance = 0;
    for (let i = 0; i < d && distance < limit; i++) {
      const difference = rows[start + i] - point[i];
      distance += difference * difference;
    }
    if (distance < limit) {
      let place = Math.min(found.length, many - 1);
      while (place > 0 && found[place - 1].distance > distance) {
        found[place] = found[place - 1];
        place--;
      }
      found[place] = { row, distance };
    }
  }
  return found;
}

/** n points from a to b, in one array: along the line, or at an even pace along the arc around the origin. */
export function pathBetween(a, b, n, spherical) {
  const norm = (v) => Math.sqrt(v.reduce((sum, value) => sum + value * value, 0));
  const [long, short] = [norm(a), norm(b)];
  const cosine = long && short ? a.reduce((sum, value, i) => sum + value * b[i], 0) / (long * short) : 1;
  const angle = Math.acos(Math.min(1, Math.max(-1, cosine)));
  // Without an angle there is no arc, and opposite points have too many.
  const bent = spherical && angle > 1e-4 && angle < Math.PI - 1e-4;
  const points = new Float32Array(n * a.length);
  for (let k = 0; k < n; k++) {
    const t = n > 1 ? k / (n - 1) : 0;
    const from = bent ? Math.sin((1 - t) * angle) / Math.sin(angle) : 1 - t;
    const to = bent ? Math.sin(t * angle) / Math.sin(angle) : t;
    for (let i = 0; i < a.length; i++) points[k * a.length + i] = from * a[i] + to * b[i];
  }
  return points;
}

/** log density of the standard normal, in nats. */
export function logNormal(z) {
  return z.reduce((sum, value) => sum - 0.5 * value * value, -0.5 * z.length * Math.log(2 * Math.PI));
}

/** The value below which a part of the numbers lies. */
export function quantile(numbers, part) {
  const sorted = Float64Array.from(numbers).sort();
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.round(part * (sorted.length - 1))))];
}
