import { parseDocument } from 'yaml';

/**
 * Reads one YAML value with the core schema: no tags, no anchors. It tells nobody what it made of the text, which may be a password.
 * @throws when the text is not YAML
 */
export function parseValue(text: string): unknown {
  // Without a level of its own the library would print its warnings, and the text with them.
  const document = parseDocument(text, { schema: 'core', resolveKnownTags: false, logLevel: 'error' });
  if (document.errors.length + document.warnings.length > 0) throw new Error('not YAML');
  return document.toJS({ maxAliasCount: 0 });
}
