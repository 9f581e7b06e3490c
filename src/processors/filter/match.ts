import type { ReadableLogRecord } from '@opentelemetry/sdk-logs';
import { glob } from './glob.ts';
import type { LogConditions } from './index.ts';

type Matches = (record: ReadableLogRecord) => boolean;
type TextMatch = (text: string) => boolean;

/** Whether a record meets all conditions of a block; within one condition any value is enough. */
export function logMatcher(conditions: LogConditions): Matches {
  const anyOf = textMatcher(conditions.match_type);
  const tests: Matches[] = [];
  const text = (values: readonly string[] | undefined, read: (record: ReadableLogRecord) => unknown) => {
    if (!values) return;
    const matches = anyOf(values);
    tests.push((record) => matches(String(read(record) ?? '')));
  };
  text(conditions.bodies, ({ body }) => (typeof body === 'string' ? body : JSON.stringify(body)));
  text(conditions.severity_texts, ({ severityText }) => severityText);
  text(conditions.event_names, ({ eventName }) => eventName);
  for (const { key, value } of conditions.resource_attributes ?? [])
    tests.push(attribute(key, value, anyOf, ({ resource }) => resource.attributes));
  for (const { key, value } of conditions.record_attributes ?? [])
    tests.push(attribute(key, value, anyOf, ({ attributes }) => attributes));
  const severity = conditions.severity_number;
  if (severity)
    tests.push(({ severityNumber = 0 }) =>
      severityNumber === 0 ? severity.match_undefined : severityNumber >= severity.min,
    );
  return (record) => tests.every((matches) => matches(record));
}

export function textMatcher(type: 'strict' | 'glob'): (patterns: readonly string[]) => TextMatch {
  return (patterns) => {
    if (type === 'strict') {
      const values = new Set(patterns);
      return (text) => values.has(text);
    }
    const globs = patterns.map(glob);
    return (text) => globs.some((matches) => matches(text));
  };
}

/** Without a value the attribute must merely be there. */
function attribute(
  key: string,
  value: string | number | boolean | undefined,
  anyOf: ReturnType<typeof textMatcher>,
  read: (record: ReadableLogRecord) => Readonly<Record<string, unknown>>,
): Matches {
  if (value === undefined) return (record) => read(record)[key] !== undefined;
  const matches = anyOf([String(value)]);
  return (record) => {
    const found = read(record)[key];
    return found !== undefined && matches(String(found));
  };
}
