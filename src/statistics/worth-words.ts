import type { PretrainingWorth } from "../results/learning-curves.js";

export type WorthInNumbers = Omit<PretrainingWorth, "words">;

interface About {
  /** Patients of the whole training set. */
  all: number;
  /** Of hours. */
  unit: string;
  /** Why there is no interval, where there is none. */
  whyNone: string;
}

/** "Pretraining is worth n patients (95 % interval ...)": what is not reached, or undecided, is said in words. */
export function worthInWords(worth: WorthInNumbers, about: About): string {
  const { patients, better, most } = worth;
  const { all } = about;
  const fewest = whole(all - most);
  const amount =
    patients !== null
      ? `${whole(patients)} ${Math.abs(Math.round(patients)) === 1 ? "patient" : "patients"}`
      : better === "fine-tuned"
        ? `more than ${whole(most)} patients`
        : `less than ${whole(-most)} patients`;
  const how =
    better === "neither"
      ? `on all ${whole(all)} both do as well`
      : better === "fine-tuned"
        ? patients === null
          ? `fine-tuning on ${fewest}, the fewest tried, still does better than training from scratch on all ${whole(all)}`
          : `fine-tuning on ${whole(all - patients)} does as well as training from scratch on all ${whole(all)}`
        : patients === null
          ? `training from scratch on ${fewest}, the fewest tried, still does better than fine-tuning on all ${whole(all)}`
          : `training from scratch on ${whole(all + patients)} does as well as fine-tuning on all ${whole(all)}`;
  const known =
    worth.interval === null
      ? `How many patients pretraining is worth is undecided: ${about.whyNone}. As measured it is ${amount}`
      : `Pretraining is worth ${amount} (${interval(worth.interval, most)})`;
  return `${known}: ${how}. ${hours(worth, about.unit)}`.trim();
}

function interval({ low, high }: NonNullable<WorthInNumbers["interval"]>, most: number): string {
  if (low === null && high === null)
    return `95 % interval unbounded: anything from −${whole(most)} to ${whole(most)} fits`;
  if (high === null)
    return `95 % interval from ${whole(low)} on, without an upper end within the ${whole(most)} tried`;
  if (low === null)
    return `95 % interval up to ${whole(high)}, without a lower end within the ${whole(most)} tried`;
  return `95 % interval ${whole(low)} to ${whole(high)}`;
}

function hours({ hours: { saved, low, high }, pretrainingHours }: WorthInNumbers, unit: string): string {
  if (saved === null) return "";
  const range = low === null || high === null ? "" : ` (${short(low)} to ${short(high)})`;
  const direction = saved >= 0 ? "less" : "more";
  const shown =
    saved >= 0 ? range : low === null || high === null ? "" : ` (${short(-high)} to ${short(-low)})`;
  const took = `To the same result it takes ${short(Math.abs(saved))} ${unit} ${direction}${shown}`;
  if (pretrainingHours === null) return `${took}.`;
  const paid =
    saved > 0
      ? `${Math.ceil(pretrainingHours / saved).toLocaleString("en-US")} such trainings pay that back`
      : "which no number of such trainings pays back";
  return `${took}; pretraining took ${short(pretrainingHours)}${saved > 0 ? ", and " : ", "}${paid}.`;
}

const whole = (value: number | null): string =>
  value === null ? "–" : Math.round(value).toLocaleString("en-US").replace("-", "−");

const short = (value: number): string =>
  Number(value.toPrecision(2)).toLocaleString("en-US", { maximumSignificantDigits: 2 }).replace("-", "−");
