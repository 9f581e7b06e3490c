import { stringify } from 'yaml';
import { escapeReferences } from '../config/references.ts';
import { suggest } from '../config/suggest.ts';
import { CONFIG_FLAGS, defineCommand, UsageError } from './command.ts';
import { readConfig } from './read-config.ts';
import { shownConfig } from './shown-config.ts';

const FORMATS = ['yaml', 'json'];

/** `outband print-config`: prints the configuration as it is understood, merged, with references replaced and secrets masked. */
export const command = defineCommand({
  flags: {
    ...CONFIG_FLAGS,
    format: { type: 'string', value: 'WORD', help: 'yaml (default) or json' },
    defaults: { type: 'boolean', help: 'with what is not said' },
  },
  run: async ({ flags }) => {
    const { format = 'yaml', defaults } = flags;
    if (!FORMATS.includes(format))
      throw new UsageError(`--format ${format}: unknown format ${suggest(format, FORMATS)}`);
    const shown = escapeReferences(shownConfig(await readConfig(flags), defaults));
    process.stdout.write(format === 'json' ? `${JSON.stringify(shown, null, 2)}\n` : stringify(shown));
    return 0;
  },
});
