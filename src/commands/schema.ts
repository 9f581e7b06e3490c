import { builtins } from '../builtins.ts';
import { configJsonSchema } from '../config/json-schema.ts';

/** Prints the JSON Schema of the whole configuration file. */
export function schema(): void {
  process.stdout.write(`${JSON.stringify(configJsonSchema(builtins), null, 2)}\n`);
}
