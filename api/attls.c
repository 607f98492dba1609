#define _GNU_SOURCE
#include "attls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define DAEMON "/run/pagent/pagent.sock"
#define LONGEST 16384

static _Thread_local char message[512];

const char *attls_message(void) { return message; }

static int fail(int number, const char *text) {
    snprintf(message, sizeof message, "%s", text);
    errno = number;
    return -1;
}

/* address:port, or [address]:port. */
static int end(int fd, int (*name)(int, struct sockaddr *, socklen_t *), char *text, size_t size) {
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    char host[INET6_ADDRSTRLEN];
    if (name(fd, (struct sockaddr *)&address, &length) == -1)
        return -1;
    if (address.ss_family == AF_INET) {
        struct sockaddr_in *in = (struct sockaddr_in *)&address;
        inet_ntop(AF_INET, &in->sin_addr, host, sizeof host);
        snprintf(text, size, "%s:%u", host, ntohs(in->sin_port));
    } else if (address.ss_family == AF_INET6) {
        struct sockaddr_in6 *in = (struct sockaddr_in6 *)&address;
        inet_ntop(AF_INET6, &in->sin6_addr, host, sizeof host);
        snprintf(text, size, "[%s]:%u", host, ntohs(in->sin6_port));
    } else {
        errno = EPROTOTYPE;
        return -1;
    }
    return 0;
}

/* Where the value of a key of the flat JSON object begins. */
static const char *value(const char *json, const char *key) {
    char quoted[64];
    snprintf(quoted, sizeof quoted, "\"%s\":", key);
    const char *found = strstr(json, quoted);
    return found ? found + strlen(quoted) : "";
}

static unsigned number(const char *json, const char *key) { return (unsigned)strtoul(value(json, key), NULL, 10); }

static void string(const char *json, const char *key, char *text, size_t size) {
    const char *from = value(json, key);
    size_t length = 0;
    if (*from++ == '"')
        while (*from && *from != '"' && length + 1 < size) {
            if (*from == '\\' && from[1])
                from++;
            text[length++] = *from++;
        }
    text[length] = '\0';
}

static int errno_of(const char *name) {
    static const struct {
        const char *name;
        int number;
    } known[] = {{"EACCES", EACCES},         {"EALREADY", EALREADY}, {"ECONNRESET", ECONNRESET},
                 {"EINVAL", EINVAL},         {"ENOTCONN", ENOTCONN}, {"EOPNOTSUPP", EOPNOTSUPP},
                 {"EPERM", EPERM},           {"EPIPE", EPIPE},       {"EPROTOTYPE", EPROTOTYPE},
                 {"ETIMEDOUT", ETIMEDOUT}};
    for (size_t at = 0; at < sizeof known / sizeof *known; at++)
        if (strcmp(known[at].name, name) == 0)
            return known[at].number;
    return EIO;
}

static int connected(void) {
    const char *path = secure_getenv("ATTLS_DAEMON");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    path = path ? path : DAEMON;
    if (strlen(path) >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd == -1)
        return -1;
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == -1) {
        int number = errno;
        close(fd);
        errno = number;
        return -1;
    }
    return fd;
}

/* Sends a request and reads the answer to its end. */
static int exchange(const char *request, char *answer, size_t size) {
    int fd = connected();
    if (fd == -1)
        return -1;
    size_t left = strlen(request), filled = 0;
    ssize_t moved = 0;
    /* A signal does not take an order back. */
    while (left > 0) {
        moved = send(fd, request, left, MSG_NOSIGNAL);
        if (moved < 0 && errno == EINTR)
            continue;
        if (moved < 0)
            break;
        request += moved;
        left -= (size_t)moved;
    }
    while (moved >= 0 && filled + 1 < size) {
        moved = read(fd, answer + filled, size - filled - 1);
        if (moved < 0 && errno == EINTR) {
            moved = 0;
            continue;
        }
        if (moved <= 0)
            break;
        filled += (size_t)moved;
    }
    int number = errno;
    close(fd);
    answer[filled] = '\0';
    errno = number;
    return moved < 0 ? -1 : 0;
}

int attls_control(int socket, unsigned requests, struct attls_status *status) {
    static const struct {
        unsigned bit;
        const char *name;
    } names[] = {{ATTLS_INIT_CONNECTION, "INIT_CONNECTION"},
                 {ATTLS_RESET_SESSION, "RESET_SESSION"},
                 {ATTLS_RESET_CIPHER, "RESET_CIPHER"},
                 {ATTLS_STOP_CONNECTION, "STOP_CONNECTION"},
                 {ATTLS_ALLOW_HSTIMEOUT, "ALLOW_HSTIMEOUT"}};
    char local[80], remote[80], wanted[160] = "", body[512], request[1024], answer[LONGEST];
    if (end(socket, getsockname, local, sizeof local) == -1 || end(socket, getpeername, remote, sizeof remote) == -1)
        return fail(errno, "the socket is not a connected TCP socket");
    for (size_t at = 0; at < sizeof names / sizeof *names; at++)
        if (requests & names[at].bit) {
            size_t used = strlen(wanted);
            snprintf(wanted + used, sizeof wanted - used, "%s\"%s\"", used ? "," : "", names[at].name);
        }
    snprintf(body, sizeof body, "{\"local\":\"%s\",\"remote\":\"%s\",\"requests\":[%s]}", local, remote, wanted);
    snprintf(request, sizeof request,
             "POST /v1/ttls HTTP/1.1\r\nHost: pagent\r\nConnection: close\r\nContent-Type: application/json\r\n"
             "Content-Length: %zu\r\n\r\n%s",
             strlen(body), body);
    if (exchange(request, answer, sizeof answer) == -1)
        return fail(errno, "the policy agent does not answer");
    const char *json = strstr(answer, "\r\n\r\n");
    if (json == NULL)
        return fail(EIO, "the policy agent's answer cannot be read");
    if (strncmp(answer, "HTTP/1.1 200 ", 13) != 0) {
        char name[32], text[512];
        string(json, "errno", name, sizeof name);
        string(json, "error", text, sizeof text);
        return fail(errno_of(name), text);
    }
    if (status != NULL) {
        char text[32];
        memset(status, 0, sizeof *status);
        string(json, "policy", text, sizeof text);
        status->policy = strcmp(text, "NoPolicy") == 0     ? ATTLS_NO_POLICY
                         : strcmp(text, "NotEnabled") == 0 ? ATTLS_NOT_ENABLED
                         : strcmp(text, "Enabled") == 0    ? ATTLS_ENABLED
                                                           : ATTLS_APPLICATION_CONTROLLED;
        string(json, "connection", text, sizeof text);
        status->secure = strcmp(text, "Secure") == 0;
        status->protocol = number(json, "protocol");
        status->cipher = number(json, "cipher");
        status->key_share = number(json, "key_share");
        status->fips140 = strncmp(value(json, "fips140"), "true", 4) == 0;
        string(json, "security_type", status->security_type, sizeof status->security_type);
        string(json, "rule", status->rule, sizeof status->rule);
        string(json, "environment", status->environment, sizeof status->environment);
        string(json, "userid", status->userid, sizeof status->userid);
    }
    return 0;
}
