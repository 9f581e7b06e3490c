import { parse } from 'yaml';
import type { YamlFile } from './yaml-file.ts';

/**
 * One `--set a.b.c=value`, as a file of its own that stands above all others. `::` is as good as `.`, and the value is YAML.
 * @throws Error with what is wrong about it
 */
export function parseOverride(text: string): YamlFile {
  const name = `--set ${text}`;
  const equals = text.indexOf('=');
  if (equals < 0) throw new Error(`${name}: missing equal sign`);
  const steps = text.slice(0, equals).replaceAll('::', '.').split('.');
  if (steps.some((step) => step.trim() === '')) throw new Error(`${name}: a part of the key is empty`);
  let value: unknown = parse(text.slice(equals + 1), { schema: 'core', maxAliasCount: 0 });
  for (const step of steps.toReversed()) value = { [step.trim()]: value };
  // Nobody counts lines in an argument.
  return { name, value, problems: [], position: () => ({ file: name, line: 0, column: 0 }) };
}
