import { PNG } from "pngjs";
import { describe, expect, it } from "vitest";
import { median } from "../dist/common/numbers.js";
import { paperTasks, type TaskName } from "../dist/common/vocabulary.js";
import { outline } from "../dist/report/contours.js";
import { csv } from "../dist/report/csv.js";
import { alignmentFigure } from "../dist/report/figures/alignment.js";
import { drawFigure } from "../dist/report/figures/figure.js";
import { placeLabels } from "../dist/report/figures/point-labels.js";
import { duration, listing, percent, signed, significant } from "../dist/report/format.js";
import { chooseCases } from "../dist/report/gallery.js";
import { html, trusted } from "../dist/report/html.js";
import { taskInProse, taskLabel } from "../dist/report/labels.js";
import { looks } from "../dist/report/palette.js";
import { differencePicture, greyPicture, percentileWindow, shownSize } from "../dist/report/pictures.js";
import { type Summary, summarise } from "../dist/report/report-summary.js";
import type { RelationPoint } from "../dist/results/relations.js";
import { relate } from "../dist/statistics/relations.js";
import { ownStrategy } from "../dist/tasks/index.js";
import { studyResults } from "./report-fixture.js";

describe("a template of HTML", () => {
  it("escapes text and quoted attributes, and leaves markup as it is", () => {
    const inner = html`<b>${"<i> & 'q' \"d\""}</b>`;
    expect(String(html`<p title="${'a" onclick="x'}">${inner}${[1, " ", "<"]}${null}${false}</p>`)).toBe(
      '<p title="a&quot; onclick=&quot;x"><b>&lt;i&gt; &amp; &#39;q&#39; &quot;d&quot;</b>1 &lt;</p>',
    );
    expect(String(html`${trusted("<hr>")}`)).toBe("<hr>");
  });

  it("takes no object that only looks like markup", () => {
    const forged = { toString: () => "<script>" } as unknown as string;
    expect(() => String(html`${forged}`)).toThrow();
  });
});

describe("numbers in words and columns", () => {
  it("are written as a reader expects them", () => {
    expect(percent(12.345)).toBe("+12.3\u00a0%");
    expect(percent(-0.04)).toBe("0.0\u00a0%");
    expect(percent(750.2)).toBe("+750\u00a0%");
    expect(percent(Number.NaN)).toBe("\u2014");
    expect(signed(-0.0004, 3)).toBe("0.000");
    expect(significant(0.0802)).toBe("0.0802");
    expect(significant(123.4)).toBe("123");
    expect(duration(8.24)).toBe("8.2\u00a0s");
    expect(duration(245)).toBe("4\u00a0min 05\u00a0s");
    expect(duration(3599.7)).toBe("1\u00a0h 00\u00a0min");
    expect(listing(["a", "b", "c"])).toBe("a, b and c");
  });

  it("stand in CSV at full precision, and nothing where there is no number", () => {
    expect(csv(["a", "b"], [{ a: 0.1 + 0.2, b: Number.NaN }])).toBe("a,b\n0.30000000000000004,\n");
  });
});

describe("the median", () => {
  it("is the middle value, or the mean of the middle two", () => {
    expect(median([3, 1, 2])).toBe(2);
    expect(median([4, 1, 3, 2])).toBe(2.5);
    expect(median([])).toBeNaN();
  });
});

describe("the outline of a mask", () => {
  it("is nothing for an empty mask", () => {
    expect(outline(new Float32Array(12), 4, 3)).toBe("");
  });

  it("runs half a pixel around a single voxel of 1", () => {
    const mask = new Float32Array(9);
    mask[4] = 1;
    const points = vertices(outline(mask, 3, 3));
    expect(points).toHaveLength(4);
    expect(points).toEqual(
      expect.arrayContaining([
        [1.5, 1],
        [2, 1.5],
        [1.5, 2],
        [1, 1.5],
      ]),
    );
  });

  it("closes at the border and goes around holes", () => {
    const full = new Float32Array(25).fill(1);
    expect(outline(full, 5, 5).match(/Z/g)).toHaveLength(1);
    full[12] = 0;
    expect(outline(full, 5, 5).match(/Z/g)).toHaveLength(2);
  });

  it("keeps voxels that touch only at a corner apart, each a ring of its own", () => {
    expect(outline([1, 0, 0, 1], 2, 2).match(/Z/g)).toHaveLength(2);
  });

  it("lies on a disc of probabilities to a hundredth of a pixel, and encloses its area", () => {
    const size = 64;
    const radius = 17.3;
    const values = Float32Array.from({ length: size * size }, (_, pixel) => {
      const distance = Math.hypot((pixel % size) + 0.5 - 32, Math.floor(pixel / size) + 0.5 - 32);
      return 0.5 + (radius - distance) / 100;
    });
    const points = vertices(outline(values, size, size));
    for (const [x, y] of points) expect(Math.abs(Math.hypot(x - 32, y - 32) - radius)).toBeLessThan(0.02);
    const area = points.reduce((sum, [x, y], index) => {
      const [nextX, nextY] = points[(index + 1) % points.length];
      return sum + (x * nextY - nextX * y) / 2;
    }, 0);
    expect(Math.abs(area) / (Math.PI * radius ** 2)).toBeCloseTo(1, 2);
  });

  function vertices(path: string): [number, number][] {
    return [...path.matchAll(/[ML]([\d.]+) ([\d.]+)/g)].map((match) => [Number(match[1]), Number(match[2])]);
  }
});

describe("a picture", () => {
  const slice = (
    width: number,
    height: number,
    values: (pixel: number) => number,
    spacing = { width: 1, height: 1 },
  ) => ({
    values: Float32Array.from({ length: width * height }, (_, pixel) => values(pixel)),
    width,
    height,
    spacing,
  });
  const decode = (uri: string) =>
    PNG.sync.read(Buffer.from(uri.slice("data:image/png;base64,".length), "base64"));

  it("is shown true to its physical shape", () => {
    expect(
      shownSize(
        slice(64, 32, () => 0, { width: 0.5, height: 2 }),
        150,
      ),
    ).toEqual({ width: 75, height: 150 });
  });

  it("maps its window to black and white", () => {
    const { data, width, height } = decode(
      greyPicture(
        slice(4, 1, (pixel) => [0, 0.5, 1, Number.NaN][pixel]),
        { low: 0, high: 1 },
        150,
      ).uri,
    );
    expect([width, height]).toEqual([4, 1]);
    expect([0, 1, 2, 3].map((pixel) => data[pixel * 4])).toEqual([0, 128, 255, 0]);
  });

  it("keeps mean brightness when it is made smaller", () => {
    const { data, width } = decode(
      greyPicture(
        slice(300, 300, (pixel) => pixel % 2),
        { low: 0, high: 1 },
        100,
      ).uri,
    );
    expect(width).toBe(100);
    const mean =
      data.filter((_, index) => index % 4 === 0).reduce((sum, value) => sum + value, 0) / (100 * 100);
    expect(mean).toBeCloseTo(127.5, 0);
  });

  it("is blue below the target, orange above it and black at it", () => {
    const { data } = decode(
      differencePicture(
        slice(3, 1, (pixel) => [-0.2, 0, 0.2][pixel]),
        0.2,
        150,
      ).uri,
    );
    const pixel = (index: number) => [...data.subarray(index * 4, index * 4 + 3)];
    expect(pixel(0)).toEqual([96, 190, 255]);
    expect(pixel(1)).toEqual([12, 12, 12]);
    expect(pixel(2)).toEqual([255, 176, 64]);
  });

  it("takes its window from the 1st to the 99th percentile", () => {
    expect(percentileWindow(Float32Array.from({ length: 101 }, (_, index) => 100 - index))).toEqual({
      low: 1,
      high: 99,
    });
    expect(percentileWindow([3, 3, 3])).toEqual({ low: 2.5, high: 3.5 });
  });
});

describe("the cases in pictures", () => {
  const scores = new Map([
    ["a", 0.2],
    ["b", 0.9],
    ["c", 0.5],
    ["d", 0.7],
  ]);

  it("are the best, the median and the worst of those stored", () => {
    expect(chooseCases(scores, ["a", "b", "c"], true).map(({ id }) => id)).toEqual(["b", "c", "a"]);
    expect(chooseCases(scores, ["a", "b", "c", "d"], false).map(({ id }) => id)).toEqual(["a", "c", "b"]);
  });

  it("are each shown once when there are fewer than three", () => {
    expect(chooseCases(scores, ["a", "d"], true).map(({ id }) => id)).toEqual(["d", "a"]);
    expect(chooseCases(scores, ["c"], true)).toEqual([{ rank: "The only case", id: "c" }]);
  });
});

describe("gain against distance", () => {
  /** Five tasks, with distances and gains of our own. */
  function summary(distances: number[], gains: number[], second?: RelationPoint): Summary {
    const own = distances.map((distance, index): RelationPoint => {
      const task = paperTasks[index] as TaskName;
      return {
        task,
        strategy: "direct",
        counts: true,
        distance,
        percent: gains[index] as number,
        saturated: false,
      };
    });
    const points = second ? [...own, second] : own;
    const relations = relate("specialised", [{ model: "profound-tiny", distance: "D2P", points }]);
    return { ...summarise(studyResults()), relations };
  }

  it("states r, its exact p, n, what one task does to it, and what so few tasks could find", () => {
    // SciPy 1.17.1: pearsonr gives r = -0.93660, permutation_test of |r| p = 4/120; t.ppf(0.975, 3) the critical 0.87834.
    const figure = alignmentFigure(
      summary([0.8, 0.54, 0.1, 0.02, 0.3], [1.2, 9, 15.9, 20.7, 8]),
      "specialised",
    );
    expect(figure?.panels).toHaveLength(1);
    expect(figure?.panels[0].label).toContain(
      "r = \u22120.94, p = 0.033, n = 5; joint p = 0.033; undecided: under 8 tasks; r \u22120.98 to \u22120.86 without one task",
    );
    expect(String(figure?.caption)).toContain(
      "With 5 tasks p &lt; 0.05 needs |r| &gt; 0.88, and a true |r| of 0.94 is found four times in five.",
    );
  });

  it("draws r on its own strip, and only where there is one", async () => {
    const five = alignmentFigure(
      summary([0.8, 0.54, 0.1, 0.02, 0.3], [1.2, 9, 15.9, 20.7, 8]),
      "specialised",
    );
    expect(five?.panels[0].parts).toHaveLength(2);
    const two = alignmentFigure(summary([0.8, 0.54], [1.2, 9]), "specialised");
    expect(two?.panels[0].parts).toHaveLength(1);
    expect(two?.panels[0].label).toContain("n = 2: too few tasks for a correlation");
    const flat = alignmentFigure(summary([0, 0, 0], [1, 2, 3]), "specialised");
    expect(flat?.panels[0].label).toContain("no correlation of what does not vary");
  });

  it("stars what is learnt by diffusion, and counts each task once in r and p", async () => {
    const distances = [0.8, 0.54, 0.1, 0.02, 0.3];
    const gains = [1.2, 9, 15.9, 20.7, 8];
    const one = summary(distances, gains, {
      ...{ task: "super-resolution", strategy: "diffusion", counts: false },
      ...{ distance: 0.9, percent: 30, saturated: false },
    });
    const figure = alignmentFigure(one, "specialised");
    // As without the sixth point; over all six, Python 3.11 (statistics.correlation) gives r = -0.01979.
    expect(figure?.panels[0].label).toContain("r = \u22120.94, p = 0.033, n = 5;");
    expect(figure?.panels[0].label).toContain("r = \u22120.020 over all 6 points");
    expect(figure?.rows.map((row) => row["in r and p"])).toEqual(["yes", "yes", "yes", "yes", "yes", "no"]);
    expect(String(figure?.caption)).toMatch(/\* learnt by denoising diffusion/);
    const svg = await columnOf(figure as NonNullable<typeof figure>);
    expect(svg).toContain(">Super-resolution*<");
    expect(svg).toMatch(/opacity="0\.4"/);
  });

  it("labels every point, and no label covers another", async () => {
    const figure = alignmentFigure(summary([0.5, 0.5, 0.5, 0.5, 0.9], [5, 5.2, 5.4, 5.1, 20]), "specialised");
    const svg = await columnOf(figure as NonNullable<typeof figure>);
    const names = paperTasks.map((task) => taskLabel({ task, strategy: ownStrategy(task) }));
    const labels = [
      ...svg.matchAll(
        /<text text-anchor="(\w+)" transform="translate\(([\d.]+),([\d.]+)\)"[^>]*>([A-Z][^<]*)</g,
      ),
    ].filter((match) => names.includes(match[4] as string));
    expect(labels.map((match) => match[4]).sort()).toEqual([...names].sort());
    // Letters of at least 4 pixels each, from where the text is anchored.
    const boxes = labels.map(([, anchor, x, y, text]) => {
      const width = 4 * (text as string).length;
      return { left: Number(x) - (anchor === "end" ? width : 0), width, y: Number(y) };
    });
    boxes.forEach((one, index) => {
      for (const other of boxes.slice(index + 1)) {
        const apart = one.left + one.width <= other.left || other.left + other.width <= one.left;
        expect(apart || Math.abs(one.y - other.y) >= 9).toBe(true);
      }
    });
  });
});

/** A figure's file for one column of a journal. */
const columnOf = async (figure: Parameters<typeof drawFigure>[0]): Promise<string> =>
  (await drawFigure(figure, () => null)).svgs[0][1];

describe("names of tasks", () => {
  it("say the strategy only where it is not the task's own", () => {
    const names = (
      [
        ["pirads-classification", "direct"],
        ["super-resolution", "diffusion"],
        ["modality-translation", "diffusion"],
      ] as const
    ).map(([task, strategy]) => [taskLabel({ task, strategy }), taskInProse({ task, strategy })]);
    expect(names).toEqual([
      ["PI-RADS classification", "PI-RADS classification"],
      ["Super-resolution by diffusion", "super-resolution by diffusion"],
      ["Modality translation", "modality translation"],
    ]);
  });
});

describe("labels of points", () => {
  it("stay apart and inside the frame where points coincide and there is no room beside them", () => {
    const point = { x: 106, y: 0.5, radius: 14 };
    const labels = placeLabels(
      ["Distortion correction\nD2S 0.511", "Distortion correction*\nD2S 0.697"].map((label) => ({
        ...point,
        label,
      })),
      { x: [0, 254], y: [0, 1], width: 254, height: 200 },
    );
    for (const { box } of labels) {
      expect(box.left).toBeGreaterThanOrEqual(0);
      expect(box.right).toBeLessThanOrEqual(254);
    }
    const [one, other] = labels.map(({ labelY }) => labelY * 200);
    expect(Math.abs(one - other)).toBeGreaterThanOrEqual(26 - 1e-9); // two lines of 13 pixels
  });
});

describe("the palette", () => {
  const luminance = (colour: string) => {
    const [red, green, blue] = [1, 3, 5]
      .map((at) => Number.parseInt(colour.slice(at, at + 2), 16) / 255)
      .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const lightness = (colour: string) => 116 * Math.cbrt(luminance(colour)) - 16;

  it.each([
    ["light", "#ffffff"],
    ["dark", "#14181d"],
  ] as const)("stands out on the %s page: a contrast of 3 or more (WCAG 1.4.11)", (theme, ground) => {
    for (const look of Object.values(looks)) {
      const [high, low] = [luminance(look[theme]), luminance(ground)].sort((a, b) => b - a);
      expect((high + 0.05) / (low + 0.05)).toBeGreaterThan(3);
    }
  });

  it.each(["light", "dark"] as const)("differs in lightness on a grey printer, %s", (theme) => {
    const values = Object.values(looks)
      .map((look) => lightness(look[theme]))
      .sort((a, b) => a - b);
    for (const [index, value] of values.slice(1).entries())
      expect(value - values[index]).toBeGreaterThan(3.5);
  });

  it("gives every comparator a shape and a dash of its own", () => {
    expect(new Set(Object.values(looks).map((look) => look.shape)).size).toBe(6);
    expect(new Set(Object.values(looks).map((look) => look.dash.join())).size).toBe(6);
  });
});
