import type { AnyFactory } from '../component/factory.ts';
import { configJsonSchema } from '../config/json-schema.ts';

/** Prints the JSON Schema of the whole configuration file. */
export function schema(factories: readonly AnyFactory[]): void {
  process.stdout.write(`${JSON.stringify(configJsonSchema(factories), null, 2)}\n`);
}
