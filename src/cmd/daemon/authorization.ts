/** Who is asked about requests: loaded only where there are such plugins. */
import { AuthorizationChain } from "../../api/authorization/chain.ts";
import { createSocketPlugins } from "../../drivers/plugins-socket/index.ts";

export const createAuthorization = (): AuthorizationChain => new AuthorizationChain(createSocketPlugins());
