// SPDX-License-Identifier: Apache-2.0
// The key that signs the enclaves of these tests: RSA-3072 with exponent 3, made for them and
// of no other use.
#pragma once

namespace postern::cpu::sgx {

inline constexpr char test_signing_key[] =
    "-----BEGIN PRIVATE KEY-----\n"
    "MIIG/QIBADANBgkqhkiG9w0BAQEFAASCBucwggbjAgEAAoIBgQC5tZzT/96TYEw9\n"
    "93Eh9Bo3rlPgGySoxSjLDHaS981qZbGPTtGDaSaCuyaB+i8CUH7/07536ut+OtVx\n"
    "fvt+5BPd4C8WbdtBXA3k9NbVk4MV/5bRYu+QC6lsJIRQqpTrdzkCdqrHZS3YUu1z\n"
    "Iuubs0lmzZN3c0Fok+188mmonXV/Ny+sYIP4Zm9nUoj44czmEKAxQCLvN8Ip499x\n"
    "UyGt+aumoiiiPTnMzA7keSl1g+MnDiTYTaKMVwPycpf9c8ztoVD1GRWdjrOvm1Xl\n"
    "MwBVwcfQsOP9tdUwvldfk7u6OKZJQyo2S76ga1vYEcoEOt4Zdq+1miR+vHivzSZk\n"
    "aJCN5b/hDnVzLXod9LyXEFEIWUQEiaumkoV6/j+R/E9AL3nHHa0V7fM0tYdG/vkg\n"
    "TzOlFTbPxPmM4v33lJXUdjlOB3/iMTG1hyPyby2XPPXzljC9Av9gyEfl44wHYTrC\n"
    "SuFmE9POdlxoyQlx5CR690a6xWVyViKre1/XaKrOcJorXPB3U18CAQMCggGAe85o\n"
    "jVU/DOrdfqT2FqK8JR7ilWdtxdjF3LL5t0/eRu52X4nhAkYZrHzEVqbKAYr/VTfU\n"
    "T/HyVCc49lSnqe1ik+rKDvPngOgJQ03kjmJXY/+54OyftV0bnW2tixxjR6TQrE8c\n"
    "hO4ekDdI92ydEneGRIkM+kzWRbfzqKGbxb5OVM91HZWtUERKROGwpevd7rXAINVs\n"
    "n3qBcUKU9jdryVEdGcFwbCjRMzK0mFDGTlfsxLQYkDPBsuStTExlU6KInmuKKuBF\n"
    "tLh5B5lZ3bS9WdgSrIjXEEO7KgA72TuTfogg8XRP7CB9M4cRH+nJAGbwwRBQ1sUq\n"
    "YFqAmJtwYlFCesW5BfhUZHUNKHuhNdOI2u9nSs0WipIIi+8kPhfm6Zt+rXhsnXN6\n"
    "8OPAbiENjIoxvT7AH/FMNJGwikp27IiVKHLDm35cQJruhq4YVL6dK/C1HRJ3S38+\n"
    "wqtvNRTQ1Rk1siaJkVIQgz6sPVHvjXHCLgnsXsKTcek+kRZpcoAz3+mgmz27AoHB\n"
    "AObHUjX5vy6eLzj8TEcFkB4JLJFzgsG+q3Rpfso+eqHI3cDzMIJ1YIyE12Pnzhd/\n"
    "ajvGrHIRvBbVaGhy2RogWsgL6aVU1e1aagpHARK7ZuehgI9GEelr0MaQ7soYWXjP\n"
    "/2fYXyhilv3Cmly2wMersfGf5NOlGs4U59L7crk2iNlnkydIbGvo7voyB8GbO9Zh\n"
    "Zev+ruGoFefem4H6kHMSVmTNwZdhFajc2hbSnoRWWUUVEyIpKg8ow03CLe3QYY3v\n"
    "qwKBwQDOAVrYgD71lx/fp5gH+Buv2nTT3Lmv/1IlUN+yLfo9S9STJ9JQq2GbrkUf\n"
    "uKbgXsw3q7h8Ivu0DpVoe9O7nM+QDg03KRBz4OC8DAKtNsIstIlHcWa/q7huR4YX\n"
    "reJKGQrB6Fui/U+kCspwyShBi2SuOyJqY1paD/uerebYJNGfjBQtVlG8gRod7QJw\n"
    "EeU7BeaDirrgOk9P42YAqoBnx68PrYIMifFtDGMP+gTxYCmfHTJedFfunklU7h5t\n"
    "rh4Ahx0CgcEAmdo2zqZ/dGl00Kgy2gO1aVtzC6JXK9RyTZup3CmnFoXpK0zLAaOV\n"
    "swM6QpqJZP+cJ9nITAvSueOa8EyQvBWR2rKbw43j85GcBtoAtyeZ78EAX4QL8PKL\n"
    "LwtJ3BA7pd//mpA/cEG5/oG8Pc8rL8fL9mqYjRi8iWNFN1JMe3mwkO+3b4WdnUX0\n"
    "pswFK7zSjuuZR/8fQRq5RT8SVqcK92GO7d6BD5YOcJM8DzcUWDmQ2Li3bBtxX3CC\n"
    "M9bJSTWWXp/HAoHBAIlWPJBVf05kv+pvuq/6vR/m+I090R//jBjglSFz/CjdOGIa\n"
    "jDXHlmfJg2p7Gerp3Xpyev1sp81fDkWn4n0TNQq0CM9wtaKV6ygIAcjPLB3NsNpL\n"
    "mdUdJZ7aWWUeltwQsdaa58H+NRgHMaCGGtZc7cl8wZxCPDwKp78emeVt4RUIDXOO\n"
    "4ShWEWlIrEq2mNID7wJcfJV8NN/s7qscVZqFH1/JAV2xS54IQgqmrfZAG79ozD74\n"
    "Op8UMONJaZ50FABaEwKBwQDA5J2i1gEL0tmsOn37quFptZI3hFoLuY6lVRjJTH4i\n"
    "ECO7OPsPAa7MqF4hj5b+M/U447h0op8MggVaik9Nps/pxatmalHZXCGbLp9HePcI\n"
    "X2tZlAGpUyUAVESOt6ibd8ntylltQqyBvZIomjIVGbyXWQfPsVUfcJWG0xRBrDCa\n"
    "J+pr+Zn5qP+6G/tVr+KmaUqUYzE2aE/2hde8Uvgl1OQCnKNuJPtibRFDXJ+hxwEy\n"
    "apDbAg7ZszjzjbEUNlr5D0g=\n"
    "-----END PRIVATE KEY-----\n";

}  // namespace postern::cpu::sgx
