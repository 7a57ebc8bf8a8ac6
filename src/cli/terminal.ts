/** So long nothing at most is said where there is no terminal, in milliseconds. */
export const quietInterval = 30_000;

/** Whether lines may be redrawn on a stream. */
export const isLive = (stream: { isTTY?: boolean }): boolean =>
  stream.isTTY === true && process.env.TERM !== "dumb";
