import { stringify } from 'yaml';
import type { AgentConfig, ConfiguredComponent } from '../config/agent-config.ts';
import { fillDefaults } from '../config/fill-defaults.ts';
import { redactSecrets } from '../config/redact.ts';
import { serviceSchema } from '../config/schema/service.ts';
import { type ConfigFlags, readConfig } from './read-config.ts';

const SECTIONS = ['receivers', 'processors', 'exporters', 'extensions'] as const;

export interface PrintOptions {
  readonly format: 'yaml' | 'json';
  /** Fills in what is not said. */
  readonly defaults: boolean;
}

/** Prints the configuration as it is understood: merged, with references replaced and secrets masked. @throws as `readConfig` */
export async function printConfig(flags: ConfigFlags, { format, defaults }: PrintOptions): Promise<void> {
  const { config, merged } = await readConfig(flags);
  const sections = SECTIONS.filter((section) => merged[section] !== undefined).map((section) => [
    section,
    sectionOf(config, section, merged[section], defaults),
  ]);
  const filled = defaults ? fillDefaults(serviceSchema, merged.service) : merged.service;
  const service = redactSecrets(filled, config.service);
  const { plugins } = merged;
  const shown = { ...(plugins !== undefined && { plugins }), ...Object.fromEntries(sections), service };
  process.stdout.write(format === 'json' ? `${JSON.stringify(shown, null, 2)}\n` : stringify(shown));
}

function sectionOf(config: AgentConfig, section: (typeof SECTIONS)[number], written: unknown, defaults: boolean) {
  const checked = config[section] as ReadonlyMap<string, ConfiguredComponent>;
  const entries = Object.entries((written ?? {}) as Record<string, unknown>).map(([key, settings]) => {
    const component = checked.get(key.replace(/\s*\/\s*/, '/').trim())!;
    const filled = defaults ? fillDefaults(component.factory.schema, settings ?? {}) : settings;
    return [key, redactSecrets(filled, component.config)];
  });
  return Object.fromEntries(entries);
}
