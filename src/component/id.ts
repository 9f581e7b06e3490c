/** `type[/name]`, as in the Collector. It appears in every log line, metric and error of the component. */
export interface ComponentId {
  readonly type: string;
  readonly name: string;
}

/** What a configuration can hold, by the name of its section. */
export type ComponentKind = 'receiver' | 'processor' | 'exporter' | 'extension';

const TYPE = /^[a-zA-Z][0-9a-zA-Z_]{0,62}$/;
const NAME = /^[^\p{C}\p{Z}]{1,1024}$/u;

/**
 * Parses an id. Blanks around the slash are trimmed.
 * @returns the id, or the Collector's sentence about what is wrong with it
 */
export function parseComponentId(text: string): ComponentId | string {
  const slash = text.indexOf('/');
  const type = (slash < 0 ? text : text.slice(0, slash)).trim();
  const name = slash < 0 ? '' : text.slice(slash + 1).trim();
  if (type === '') return slash < 0 ? 'id must not be empty' : `in "${text}" id: the part before / should not be empty`;
  if (!TYPE.test(type)) return `in "${text}" id: invalid character(s) in type "${type}"`;
  if (slash >= 0 && name === '') return `in "${text}" id: the part after / should not be empty`;
  if (slash >= 0 && !NAME.test(name)) return `in "${text}" id: invalid character(s) in name "${name}"`;
  return { type, name };
}

/** `type`, or `type/name`. */
export function formatComponentId(id: ComponentId): string {
  return id.name === '' ? id.type : `${id.type}/${id.name}`;
}
