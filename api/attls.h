/* TLS of a connection, controlled by its program: the counterpart of z/OS's SIOCTTLSCTL.
 *
 *     struct attls_status status;
 *     if (attls_control(fd, ATTLS_INIT_CONNECTION, &status) == -1)
 *         perror(attls_message());
 *
 * The policy's rule for the connection must say ApplicationControlled On. The program goes on sending plain bytes. */
#ifndef ATTLS_H
#define ATTLS_H

#ifdef __cplusplus
extern "C" {
#endif

/* Requests, to be combined as on z/OS; none of them asks only. */
#define ATTLS_QUERY_ONLY 0x0000
#define ATTLS_INIT_CONNECTION 0x0001
#define ATTLS_RESET_SESSION 0x0004
#define ATTLS_RESET_CIPHER 0x0008
#define ATTLS_STOP_CONNECTION 0x0010
#define ATTLS_ALLOW_HSTIMEOUT 0x0020

enum attls_policy { ATTLS_NO_POLICY = 1, ATTLS_NOT_ENABLED, ATTLS_ENABLED, ATTLS_APPLICATION_CONTROLLED };

struct attls_status {
    enum attls_policy policy;
    int secure;               /* whether TLS is active */
    unsigned protocol;        /* 0x0303 TLS 1.2, 0x0304 TLS 1.3; 0 in clear text */
    unsigned cipher;          /* IANA number */
    unsigned key_share;       /* IANA number of the group */
    int fips140;              /* whether FIPS 140-3 approves what was negotiated */
    char security_type[32];   /* Client, Server, ServerWithClientAuth Required, ... */
    char rule[64];
    char environment[64];
    char userid[16];          /* the user the partner's certificate stands for (SAFCheck); empty if none */
};

/* Carries out requests on a connected TCP socket and waits for the handshake. 0, or -1 with errno set as on z/OS.
 * status may be NULL. */
int attls_control(int socket, unsigned requests, struct attls_status *status);

/* What the last call of this thread that failed failed for, in words. */
const char *attls_message(void);

#ifdef __cplusplus
}
#endif
#endif
