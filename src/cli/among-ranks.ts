import type { Meeting } from "../study/run/meeting.js";

/**
 * Runs a command, alone or as rank 0 of processes that torchrun or srun started together; as another of them it takes part in what
 * that one trains, and says nothing on stdout.
 */
export async function amongRanks(run: (meeting: Meeting | null) => Promise<void>): Promise<void> {
  const { startedRank } = await import("../study/run/rank-environment.js");
  const started = startedRank(process.env);
  if (started === null) return run(null);
  const { lead, takePart } = await import("../study/run/meeting.js");
  if (started.rank === 0)
    return lead(started, async (meeting) => {
      await run(meeting);
      return { failed: Boolean(process.exitCode) };
    });
  // Rank 0 decides what they mean, and is sent them too.
  for (const signal of ["SIGINT", "SIGTERM", "SIGUSR1"] as const) process.on(signal, () => {});
  if (await takePart(started)) return;
  process.stderr.write(
    `Rank ${started.rank} of ${started.ranks}: rank 0 did not end well; what it wrote says why\n`,
  );
  process.exitCode = 1;
}
