// Colours that the colour-blind tell apart: classes after Okabe and Ito, numbers after viridis.

const CLASS_COLOURS = [
  "#e69f00", "#56b4e9", "#009e73", "#d55e00", "#0072b2", "#cc79a7", "#b5a300", "#8b6fd4", "#8a5a3c", "#8c939d",
];

const SCALE = [
  [68, 1, 84], [71, 44, 122], [59, 81, 139], [44, 113, 142], [33, 144, 141],
  [39, 173, 129], [92, 200, 99], [170, 220, 50], [253, 231, 37],
];

export const SHADES = 32;

/** The colour of a class; past the palette, hues as far apart as they come. */
export function classColour(number) {
  return CLASS_COLOURS[number] ?? `hsl(${(number * 137.508) % 360} 55% ${45 + (number % 3) * 10}%)`;
}

/** The colour of a number in [0, 1]. */
export function scaleColour(part) {
  const place = Math.min(1, Math.max(0, part)) * (SCALE.length - 1);
  const low = Math.min(SCALE.length - 2, Math.floor(place));
  const mixed = SCALE[low].map((value, i) => Math.round(value + (place - low) * (SCALE[low + 1][i] - value)));
  return `rgb(${mixed.join(" ")})`;
}

/** The scale as a background. */
export function scaleGradient() {
  return `linear-gradient(90deg, ${SCALE.map((colour) => `rgb(${colour.join(" ")})`).join(", ")})`;
}
