import { createHash } from 'node:crypto';
import type { ConfigView } from '../component/component.ts';
import type { ConfiguredComponent } from '../config/agent-config.ts';
import { fillDefaults } from '../config/fill-defaults.ts';
import { redactSecrets } from '../config/redact.ts';
import { serviceSchema } from '../config/schema/service.ts';
import type { ReadConfig } from './read-config.ts';

const SECTIONS = ['receivers', 'processors', 'exporters', 'extensions'] as const;
type ShownParts = Pick<ReadConfig, 'config' | 'merged'>;

/** A configuration as it is understood: merged, with references replaced and secrets masked. @param defaults fills in what is not said */
export function shownConfig(read: ShownParts, defaults = false): Readonly<Record<string, unknown>> {
  const { config, merged } = read;
  const sections = SECTIONS.filter((section) => merged[section] !== undefined).map((section) => [
    section,
    sectionOf(read, section, defaults),
  ]);
  const filled = defaults ? fillDefaults(serviceSchema, merged.service) : merged.service;
  const { plugins } = merged;
  return {
    ...(plugins !== undefined && { plugins }),
    ...Object.fromEntries(sections),
    service: redactSecrets(filled, config.service),
  };
}

/** The configuration in force, for the pages of the agent. @param loadedAt nanoseconds since the epoch */
export function viewOfConfig(read: ShownParts, loadedAt: bigint): ConfigView {
  const shown = shownConfig(read);
  const hash = createHash('sha256').update(JSON.stringify(shown)).digest('hex').slice(0, 16);
  return { hash, loadedAt, shown };
}

function sectionOf({ config, merged }: ShownParts, section: (typeof SECTIONS)[number], defaults: boolean) {
  const checked = config[section] as ReadonlyMap<string, ConfiguredComponent>;
  const entries = Object.entries((merged[section] ?? {}) as Record<string, unknown>).map(([key, settings]) => {
    const component = checked.get(key.replace(/\s*\/\s*/, '/').trim())!;
    const filled = defaults ? fillDefaults(component.factory.schema, settings ?? {}) : settings;
    return [key, redactSecrets(filled, component.config)];
  });
  return Object.fromEntries(entries);
}
