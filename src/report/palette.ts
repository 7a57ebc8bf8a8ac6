import type { Comparator, TaskName } from "../common/vocabulary.js";
import { paperTasks } from "../common/vocabulary.js";

/**
 * One look a comparator through the whole report. The colours differ in lightness as well as in hue (they survive a
 * grey printer and every common colour blindness), and each comes with a shape and a dash, so that no reading
 * depends on colour alone. `light` stands on white, `dark` on the dark page and on images.
 */
export interface Look {
  light: string;
  dark: string;
  /** An SVG path in the box [-1, 1] x [-1, 1], as Vega takes for a symbol's shape. */
  shape: string;
  /** Lengths of dash and gap in pixels; an empty list is a solid line. */
  dash: number[];
}

const circle = "M1,0A1,1,0,1,1,-1,0A1,1,0,1,1,1,0Z";
const square = "M-0.87,-0.87L0.87,-0.87L0.87,0.87L-0.87,0.87Z";
const diamond = "M0,-1.15L1.15,0L0,1.15L-1.15,0Z";
const triangle = "M0,-1.05L1.1,0.85L-1.1,0.85Z";
const cross =
  "M-0.4,-1.1L0.4,-1.1L0.4,-0.4L1.1,-0.4L1.1,0.4L0.4,0.4L0.4,1.1L-0.4,1.1L-0.4,0.4L-1.1,0.4L-1.1,-0.4L-0.4,-0.4Z";

const bar = "M-1.15,-0.45L1.15,-0.45L1.15,0.45L-1.15,0.45Z";

export const looks: Record<Comparator, Look> = {
  "fine-tuned": { light: "#0069aa", dark: "#4aa3e8", shape: circle, dash: [] },
  pretrained: { light: "#17a078", dark: "#4fe0b0", shape: diamond, dash: [2, 2] },
  "random-weights": { light: "#74787c", dark: "#838b94", shape: triangle, dash: [1, 3] },
  "from-scratch": { light: "#d45f00", dark: "#f5a04a", shape: square, dash: [6, 3] },
  specialised: { light: "#4f1d69", dark: "#f0d3fa", shape: cross, dash: [8, 3, 2, 3] },
  trivial: { light: "#951b3f", dark: "#ff7fa6", shape: bar, dash: [4, 2] },
};

/** The target's outline on images: white, which no comparator is. */
export const targetColour = "#ffffff";

const taskShapes = [circle, square, diamond, triangle, cross];

/** Tasks are told apart by their label and their shape; colour is kept for comparators. */
export function taskShape(task: TaskName): string {
  const known = (paperTasks as readonly string[]).indexOf(task);
  // Any other name always has the same one.
  const index = known >= 0 ? known : [...task].reduce((sum, letter) => sum + letter.charCodeAt(0), 0);
  return taskShapes[index % taskShapes.length] as string;
}

/** Everything in a figure that is not data, in both themes. The light values stand in the SVG files. */
export const roles = {
  ink: { light: "#1c2024", dark: "#e6e9ec" },
  muted: { light: "#5b646d", dark: "#a3adb7" },
  axis: { light: "#8d969f", dark: "#6d7782" },
  grid: { light: "#e4e8ec", dark: "#2b323a" },
  band: { light: "#d9dfe5", dark: "#3a434d" },
  page: { light: "#ffffff", dark: "#14181d" },
} as const;

export type Role = keyof typeof roles;

/** Names of the CSS custom properties, with the colour in each theme. */
export function customProperties(theme: "light" | "dark"): [name: string, colour: string][] {
  return [
    ...Object.entries(looks).map(([name, look]): [string, string] => [`--${name}`, look[theme]]),
    ...Object.entries(roles).map(([name, role]): [string, string] => [`--${name}`, role[theme]]),
  ];
}
