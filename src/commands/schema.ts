import { configJsonSchema } from '../config/json-schema.ts';
import { CONFIG_FLAGS, defineCommand } from './command.ts';
import { readFactories } from './read-config.ts';

/** `outband schema`: prints the JSON Schema of the whole configuration file. */
export const command = defineCommand({
  about: 'With --config it has the components of the plugins that the configuration names.',
  flags: CONFIG_FLAGS,
  run: async ({ flags }) => {
    const { factories } = await readFactories(flags);
    process.stdout.write(`${JSON.stringify(configJsonSchema(factories), null, 2)}\n`);
    return 0;
  },
});
