import { z } from 'zod';
import { Secret } from '../../component/secret.ts';
import { parseDuration } from './duration.ts';

export interface DurationRule {
  /** Default true: the value must be greater than 0. False: 0 is allowed and has a meaning of its own. */
  readonly positive?: boolean;
  /** What is said about a value that is not. */
  readonly message?: string;
}

/** A duration setting: text in, milliseconds out. */
export function duration({ positive = true, message = 'must be greater than 0' }: DurationRule = {}) {
  const read = z.unknown().transform((input, context): number => {
    const ms = readDuration(input, context);
    if (ms === undefined) return z.NEVER;
    if (positive && ms <= 0) {
      context.addIssue({ code: 'custom', message });
      return z.NEVER;
    }
    return ms;
  });
  return read.meta({ type: 'duration' });
}

/** @returns undefined, having told, when it is none */
function readDuration(input: unknown, context: z.RefinementCtx): number | undefined {
  const ms = input === 0 ? 0 : typeof input === 'string' ? parseDuration(input) : undefined;
  if (ms !== undefined) return ms;
  const hint = typeof input === 'number' ? ` (did you mean "${input}s"?)` : '';
  const got = typeof input === 'number' || typeof input === 'string' ? JSON.stringify(input) : kindOf(input);
  context.addIssue({ code: 'custom', message: `expected a duration, got ${got}${hint}` });
  return undefined;
}

const SIZE_UNITS: Readonly<Record<string, number>> = {
  B: 1,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
  TiB: 1024 ** 4,
};

/** A size (`16MiB`, `1.5GiB`, or a number of bytes) in bytes. */
export function parseByteSize(input: unknown): number | undefined {
  if (typeof input === 'number') return Number.isSafeInteger(input) && input >= 0 ? input : undefined;
  const match = typeof input === 'string' ? /^(\d+(?:\.\d+)?) ?(B|KiB|MiB|GiB|TiB)$/.exec(input) : null;
  return match ? Math.floor(Number(match[1]) * SIZE_UNITS[match[2]!]!) : undefined;
}

export interface ByteSizeRule {
  readonly min: number;
  /** What is said about a smaller value. */
  readonly minText: string;
  readonly max?: number;
  readonly maxText?: string;
}

/** A size setting: text or number in, bytes out. */
export function byteSize({ min, minText, max = Number.POSITIVE_INFINITY, maxText = minText }: ByteSizeRule) {
  const read = z.unknown().transform((input, context): number => {
    const bytes = parseByteSize(input);
    const message =
      bytes === undefined
        ? `expected a size like 16MiB, got ${JSON.stringify(input) ?? 'nil'}`
        : bytes < min
          ? minText
          : bytes > max
            ? maxText
            : undefined;
    if (message === undefined) return bytes!;
    context.addIssue({ code: 'custom', message });
    return z.NEVER;
  });
  return read.meta({ type: 'size' });
}

/** An integer setting that must be greater than 0. @param unit of it, for the manual: `requests` */
export function positiveInt(unit: string) {
  return z
    .int({ error: wrongType('int') })
    .check(z.gt(0, { error: 'must be greater than 0' }))
    .meta({ type: 'int', unit });
}

/** An integer setting, 0 or more. @param unit as of {@link positiveInt} */
export function count(unit: string) {
  return z
    .int({ error: wrongType('int') })
    .check(z.gte(0, { error: 'must not be negative' }))
    .meta({ type: 'int', unit });
}

export function bool() {
  return z.boolean({ error: wrongType('bool') });
}

export function text() {
  return z.string({ error: wrongType('string') });
}

/** One of a closed list of words. */
export function oneOf<const Words extends readonly [string, ...string[]]>(...words: Words) {
  return z.enum(words, { error: `must be one of ${words.join(', ')}` });
}

/** As {@link oneOf}, and says what it got. */
export function wordOf<const Words extends readonly [string, ...string[]]>(...words: Words) {
  return z.enum(words, { error: ({ input }) => `must be one of ${words.join(', ')}, got "${shown(input)}"` });
}

/** A text that prints `[REDACTED]` everywhere. */
export function secret() {
  return text()
    .transform((value) => new Secret(value))
    .meta({ type: 'secret' });
}

/** An absolute URL over HTTP or TLS, without an account in it: that would be a secret in many places. */
export function httpUrl() {
  return text().refine(
    (value) => {
      if (!URL.canParse(value)) return false;
      const { protocol, username, password } = new URL(value);
      return ['http:', 'https:'].includes(protocol) && username === '' && password === '';
    },
    { error: 'must be an absolute http(s) URL without credentials' },
  );
}

/** Headers of requests, by name; their values may hold a key. */
export function headers() {
  return z
    .record(z.string().regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/, { error: 'is no header name' }), secret())
    .prefault({});
}

type IssueInput = { readonly input?: unknown };

/** The Collector's sentence about a value of another type. */
export function wrongType(expected: string) {
  return ({ input }: IssueInput): string =>
    input === undefined || input === null ? 'is required' : `expected type '${expected}', got '${kindOf(input)}'`;
}

/** The Collector's names for what YAML holds. */
export function kindOf(value: unknown): string {
  if (value === null || value === undefined) return 'nil';
  if (Array.isArray(value)) return 'slice';
  if (typeof value === 'number') return Number.isSafeInteger(value) ? 'int' : 'float64';
  if (typeof value === 'boolean') return 'bool';
  if (typeof value === 'object') return 'map';
  return typeof value;
}

/** `true` or `false`, and nothing that looks like it. */
export function flag() {
  return z.boolean({ error: ({ input }: IssueInput) => `expected true or false, got ${shown(input)}` });
}

/** An integer setting between two bounds, which belong to it. @param unit as of {@link positiveInt} */
export function intBetween(min: number, max: number, unit: string) {
  const error = ({ input }: IssueInput) => `must be an integer between ${min} and ${max}, got ${shown(input)}`;
  return z.int({ error }).check(z.gte(min, { error }), z.lte(max, { error })).meta({ type: 'int', unit });
}

/** A number setting between two bounds, which belong to it. @param unit as of {@link positiveInt} */
export function numberBetween(min: number, max: number, unit: string) {
  const error = ({ input }: IssueInput) => `must lie between ${min} and ${max}, got ${shown(input)}`;
  return z.number({ error }).check(z.gte(min, { error }), z.lte(max, { error })).meta({ type: 'float64', unit });
}

/** A duration setting between two bounds (durations themselves), which belong to it. */
export function durationBetween(min: string, max: string, rule = `must lie between ${min} and ${max}`) {
  const [least, most] = [parseDuration(min)!, parseDuration(max)!];
  const read = z.unknown().transform((input, context): number => {
    const ms = readDuration(input, context);
    if (ms === undefined) return z.NEVER;
    if (ms >= least && ms <= most) return ms;
    context.addIssue({ code: 'custom', message: `${rule}, got ${shown(input)}` });
    return z.NEVER;
  });
  return read.meta({ type: 'duration' });
}

/** A size setting between two bounds (sizes themselves), which belong to it. */
export function sizeBetween(min: string, max: string) {
  const [least, most] = [parseByteSize(min)!, parseByteSize(max)!];
  const read = z.unknown().transform((input, context): number => {
    const bytes = parseByteSize(input);
    if (bytes !== undefined && bytes >= least && bytes <= most) return bytes;
    context.addIssue({ code: 'custom', message: `must lie between ${min} and ${max}, got ${shown(input)}` });
    return z.NEVER;
  });
  return read.meta({ type: 'size' });
}

/** Milliseconds as a duration is written: `90s`, `5m`, `1h30m`. */
export function formatDuration(ms: number): string {
  if (ms < 1_000 || !Number.isInteger(ms / 1_000)) return ms < 1_000 ? `${ms}ms` : `${ms / 1_000}s`;
  const [hours, minutes, seconds] = [Math.floor(ms / 3_600_000), Math.floor(ms / 60_000) % 60, (ms / 1_000) % 60];
  if (hours === 0 && minutes < 2) return `${ms / 1_000}s`;
  return `${hours ? `${hours}h` : ''}${minutes ? `${minutes}m` : ''}${seconds ? `${seconds}s` : ''}`;
}

/** A value of the configuration as it is told to people. */
export function shown(value: unknown): string {
  if (typeof value === 'string') return value;
  return typeof value === 'object' && value !== null ? kindOf(value) : (JSON.stringify(value) ?? 'nil');
}
