import { stringify } from 'yaml';
import { escapeReferences } from '../config/references.ts';
import { type ConfigFlags, readConfig } from './read-config.ts';
import { shownConfig } from './shown-config.ts';

export interface PrintOptions {
  readonly format: 'yaml' | 'json';
  /** Fills in what is not said. */
  readonly defaults: boolean;
}

/** Prints the configuration as it is understood: merged, with references replaced and secrets masked. @throws as `readConfig` */
export async function printConfig(flags: ConfigFlags, { format, defaults }: PrintOptions): Promise<void> {
  const shown = escapeReferences(shownConfig(await readConfig(flags), defaults));
  process.stdout.write(format === 'json' ? `${JSON.stringify(shown, null, 2)}\n` : stringify(shown));
}
