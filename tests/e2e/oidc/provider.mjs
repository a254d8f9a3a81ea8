// An OpenID provider on loopback, for one sender that uses the client credentials grant (RFC 6749 §4.4) and gets
// JWT access tokens (RFC 9068) for the resource that it names (RFC 8707).
//
//     node provider.mjs '{"port": 0, "client": {"id": "…", "secret": "…"}, "opaque": "https://opaque.test/"}'
//
// With port 0 the system chooses a port, which is printed as {"port": …}. SIGHUP: a new key signs, the old ones stay
// published. SIGUSR2: only the signing key stays. Every start has new keys.
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import Provider from 'oidc-provider';

const settings = JSON.parse(process.argv[2]);
let keys = [newKey()];
let answer;

const server = createServer((request, response) => answer(request, response));
server.listen(settings.port, '127.0.0.1', () => {
  serve();
  process.on('SIGHUP', () => serve([newKey(), ...keys]));
  process.on('SIGUSR2', () => serve(keys.slice(0, 1)));
  console.log(JSON.stringify({ port: server.address().port }));
});

function newKey() {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return { ...privateKey.export({ format: 'jwk' }), kid: randomUUID(), alg: 'ES256', use: 'sig' };
}

// The provider signs with the first suitable key.
function serve(wanted = keys) {
  keys = wanted;
  const provider = new Provider(`http://127.0.0.1:${server.address().port}`, configuration());
  answer = provider.callback();
}

function configuration() {
  return {
    jwks: { keys },
    scopes: ['webhook', 'billing'],
    clients: [{
      client_id: settings.client.id,
      client_secret: settings.client.secret,
      grant_types: ['client_credentials'],
      response_types: [],
      redirect_uris: [],
      id_token_signed_response_alg: 'ES256',
    }],
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      resourceIndicators: { enabled: true, getResourceServerInfo: resourceServer },
    },
  };
}

function resourceServer(_context, resource) {
  return {
    audience: resource,
    scope: 'webhook billing',
    accessTokenTTL: 300,
    accessTokenFormat: resource === settings.opaque ? 'opaque' : 'jwt',
    jwt: { sign: { alg: 'ES256' } },
  };
}
