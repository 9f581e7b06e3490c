import { defineCommand } from './command.ts';

/** Its fleets need packages that an installed agent does not bring. */
const WHERE = `The demo is in the repository, not in the package. In a checkout:
  npm ci
  npm start
`;

/** `outband demo`: says where the demo is. */
export const command = defineCommand({
  flags: { duration: { type: 'string', value: '45s', help: 'ends it after this time' } },
  run: () => {
    process.stderr.write(WHERE);
    return 1;
  },
});
