import { mean } from "simple-statistics";
import { defineTask, type OptionsOf } from "./definition.js";
import { spreadOfDice } from "./expected-spreads.js";
import { floorFromZero } from "./floors.js";
import { piradsOf } from "./pirads-classes.js";
import { segmenting, valuesOf } from "./segmentation.js";
import { type Segmenting, segmentationOptions } from "./segmentation-classes.js";
import { meanOverCases, type Task } from "./task.js";
import { trivialSegmentation } from "./trivial/segmentation.js";

export type LesionSegmentationOptions = OptionsOf<typeof segmentationOptions>;

const kind = "lesion-segmentation";

/** The share of the cases without a lesion in which at least one voxel is taken for one. */
const falseAlarms = "False alarms (share of cases without a lesion)";

const what = ({ alpha, beta, prior, channelFill }: LesionSegmentationOptions): Segmenting => ({
  name: kind,
  image: "t2w",
  drawn: ["adc", "hbv"],
  mask: "lesion",
  classes: null, // any grade is a lesion
  tolerance: null,
  loss: { alpha, beta, prior, channelFill },
});

/**
 * Lesion segmentation (task 2 of the paper): T2W and one of ADC or high-b, drawn at random, to a mask of any lesion.
 * Dice over the cases with a lesion and by the PI-RADS of the case. A case without one has no Dice: beside it stands the
 * share of those in which a lesion is found all the same.
 */
export const lesionSegmentation = (options: LesionSegmentationOptions): Task => ({
  ...segmenting(what(options)),
  alsoReads: ["pirads"],

  assess(judgements, cases) {
    const gradeOf = (index: number) => piradsOf(cases[index]?.labels ?? {});
    const grades = [...new Set(cases.flatMap((_, index) => gradeOf(index) ?? []))].sort((a, b) => a - b);
    const byGrade = grades.flatMap((grade) => {
      const values = valuesOf(judgements, (index) => gradeOf(index) === grade);
      return values.length === 0 ? [] : [[`Dice of PI-RADS ${grade}`, mean(values)]];
    });
    const alarms = judgements.flatMap(({ falseAlarm }) => falseAlarm ?? []);
    return meanOverCases(
      judgements,
      {
        ...Object.fromEntries(byGrade),
        ...(alarms.length === 0 ? {} : { [falseAlarms]: alarms.filter(Boolean).length / alarms.length }),
      },
      "it has no case with a lesion",
    );
  },
});

export const lesionSegmentationTask = defineTask({
  kind,
  label: "Lesion segmentation",
  options: segmentationOptions,
  metric: { name: "Dice", better: "higher", floor: floorFromZero, margin: 0.02, spread: spreadOfDice },
  specialised: "unet-3d",
  create: lesionSegmentation,
  trivial: (options) => trivialSegmentation(what(options), "lesion in"),
});
