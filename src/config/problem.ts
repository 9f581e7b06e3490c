import type { ErrorCode } from '../component/error-codes.ts';
import { escapeForTerminal } from '../telemetry/escape.ts';

/** Where a value stands in a configuration file; line and column count from 1. Line 0: in no file, `file` says where. */
export interface Position {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

/** One mistake in a configuration. */
export interface Problem {
  readonly position: Position;
  /** `receivers::bmc_logs::mode`; empty for the file as a whole. */
  readonly path: string;
  readonly code: ErrorCode;
  readonly message: string;
}

/** `file:line:col  path: message`, with two blanks between. */
export function formatProblem({ position, path, message }: Problem): string {
  const where = position.line === 0 ? position.file : `${position.file}:${position.line}:${position.column}`;
  return escapeForTerminal(`${where}  ${path === '' ? message : `${path}: ${message}`}`);
}

/** By file, line and column. */
export function sortProblems(problems: readonly Problem[]): readonly Problem[] {
  const byText = (a: string, b: string) => (a === b ? 0 : a < b ? -1 : 1);
  return problems.toSorted(
    ({ position: a, path: pathA }, { position: b, path: pathB }) =>
      byText(a.file, b.file) || a.line - b.line || a.column - b.column || byText(pathA, pathB),
  );
}

/** All problems, in the order of the files, and their number. */
export function formatProblems(problems: readonly Problem[]): string {
  const sorted = sortProblems(problems);
  const count = problems.length === 1 ? '1 error' : `${problems.length} errors`;
  return [...sorted.map(formatProblem), `${count} in the configuration`].join('\n');
}

/** A configuration that cannot be used, with every mistake that was found. */
export class ConfigError extends Error {
  readonly problems: readonly Problem[];

  constructor(problems: readonly Problem[]) {
    super(formatProblems(problems));
    this.name = 'ConfigError';
    this.problems = problems;
  }
}
