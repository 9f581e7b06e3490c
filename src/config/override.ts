import { parseValue } from './parse-value.ts';
import type { YamlFile } from './yaml-file.ts';

/**
 * One `--set a.b.c=value`, as a file of its own that stands above all others. `::` is as good as `.`, and the value is YAML.
 * @throws Error with what is wrong about it
 */
export function parseOverride(text: string): YamlFile {
  const equals = text.indexOf('=');
  if (equals < 0) throw new Error(`--set ${text}: missing equal sign`);
  // Without its value: that may be a secret.
  const name = `--set ${text.slice(0, equals)}`;
  const key = text.slice(0, equals);
  // With `::` in it a dot is part of a name, such as that of an id.
  const steps = key.split(key.includes('::') ? '::' : '.');
  if (steps.some((step) => step.trim() === '')) throw new Error(`${name}: a part of the key is empty`);
  let value = read(name, text.slice(equals + 1));
  for (const step of steps.toReversed()) value = { [step.trim()]: value };
  // Nobody counts lines in an argument.
  return { name, value, problems: [], position: () => ({ file: name, line: 0, column: 0 }) };
}

function read(name: string, text: string): unknown {
  try {
    return parseValue(text);
  } catch {
    throw new Error(`${name}: the value is not YAML; put quotes around a text`);
  }
}
