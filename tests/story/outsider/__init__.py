"""A stranger's device, customer and retailer, written from the public interface descriptions alone.

Owns a second implementation of everything an outsider needs: COSE, packs, rewards, tiles and proofs. Refuses to import
`contracts` or `device_sim`, and of `services` takes only what starts a platform.
"""
