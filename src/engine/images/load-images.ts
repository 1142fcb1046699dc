/** The use case `docker load`: archive in, named and unpacked images out. */
import type { Digest } from "../../lib/digest.ts";
import { messageOf, notFound } from "../../lib/errors.ts";
import { faultPoint } from "../../lib/fault.ts";
import { type Platform, formatPlatform, platformDistance } from "../../lib/platform.ts";
import { emitImage } from "./events.ts";
import { familiarNameOf } from "./find.ts";
import { type BroughtImage, readImageArchive } from "./load.ts";
import type { ImageContext } from "./context.ts";
import { type ImageName, isDangling } from "./store.ts";
import { giveName, giveNoName } from "./tag.ts";

export interface LoadOptions {
  /** Only images that provide one of these; unpacks them instead of the machine's own. */
  platforms?: readonly Platform[];
  /** Each line for the user as it becomes known. */
  report: (text: string) => void;
}

/** Failures are "system" or what the archive's documents deserve; nothing is named then. */
export async function loadArchive(context: ImageContext, bytes: AsyncIterable<Uint8Array>, options: LoadOptions): Promise<ImageName[]> {
  using lease = context.leases.begin();
  let brought: BroughtImage[];
  let verified: ReadonlySet<Digest>;
  {
    await using archive = context.content.receiveArchive();
    await archive.receive(bytes);
    faultPoint("image-load-received");
    ({ images: brought, adopted: verified } = await readImageArchive(archive, context.content, lease));
  }
  for (const image of brought) requirePlatform(context, image, options.platforms);
  // Nobody else may have these blobs; layers are unpacked from them again.
  const [failures] = await Promise.all([unpackAll(context, brought, { platforms: options.platforms ?? [context.host], verified }), context.content.sync()]);
  for (const { target } of brought) context.durability.expect(target);
  faultPoint("image-load-whole");
  return brought.map((image) => {
    const named = image.name === undefined ? giveNoName(context, image.target) : giveName(context, image.name, image.target);
    options.report(`${isDangling(named) ? "Loaded image ID" : "Loaded image"}: ${familiarNameOf(named)}\n`);
    emitImage(context, "load", named, named.target.digest);
    const failure = failures.get(image);
    if (failure !== undefined) options.report(`Error unpacking image ${familiarNameOf(named)}: ${failure}\n`);
    return named;
  });
}

function requirePlatform(context: ImageContext, image: BroughtImage, platforms: readonly Platform[] | undefined): void {
  if (!platforms) return;
  const offered = context.documents.imagesOf(image.target);
  if (platforms.some((wanted) => offered.some((one) => platformDistance(wanted, one.platform) !== undefined))) return;
  throw notFound(`image ${image.name ?? image.target.digest} was loaded, but doesn't provide the requested platform ([${platforms.map(formatPlatform).join(" ")}])`);
}

/** An image that cannot be unpacked is kept, as Docker does, and the user is told. */
async function unpackAll(context: ImageContext, brought: readonly BroughtImage[], { platforms, verified }: { platforms: readonly Platform[]; verified: ReadonlySet<Digest> }): Promise<Map<BroughtImage, string>> {
  const failures = new Map<BroughtImage, string>();
  for (const image of brought) {
    try {
      for (const one of context.documents.imagesOf(image.target))
        if (platforms.some((wanted) => platformDistance(wanted, one.platform) !== undefined) && !context.layers.isUnpacked(one)) await context.layers.unpack(one, { verified });
    } catch (error) {
      failures.set(image, messageOf(error));
    }
  }
  return failures;
}
