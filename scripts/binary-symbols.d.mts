export const newestAllowed: Readonly<Record<string, string>>;
export function newestAsked(file: string): Record<string, string>;
export function tooNew(asked: Readonly<Record<string, string>>): string[];
export function missingSymbols(file: string, libraries: readonly string[]): string[];
export function readable(symbols: readonly string[]): string[];
export function run(program: string, ...args: string[]): string;
